-- Ids ascend in the order of the commits, because whoever draws one holds the lock until he commits: a reader that has
-- seen an id will never find a smaller one afterwards. They are microseconds since the epoch (later by one where two
-- meet), so that they go on ascending when the database was restored from a backup, which knows nothing of ids that
-- others have seen.
CREATE SEQUENCE revocations_id_seq;

CREATE FUNCTION keyturn_revocation_id() RETURNS bigint
LANGUAGE plpgsql VOLATILE
-- Whoever holds it and is paused holds up the others no longer than this.
SET lock_timeout = '1s' AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(7310868735422866529);
  RETURN setval('revocations_id_seq',
    greatest(nextval('revocations_id_seq'), (extract(epoch FROM clock_timestamp()) * 1000000)::bigint));
END
$$;

CREATE TABLE revocations (
  id         bigint PRIMARY KEY DEFAULT keyturn_revocation_id(),
  kind       text NOT NULL CHECK (kind IN ('jti', 'sid', 'sub', 'client', 'all')),
  value      text NOT NULL,
  -- Tokens issued before it are refused; null: the one token, or all tokens of the one session.
  not_before timestamptz(0),
  revoked_at timestamptz(3) NOT NULL,
  -- When the last token it can concern has expired.
  expires_at timestamptz(3) NOT NULL,
  CONSTRAINT revocations_value_check CHECK ((kind = 'all') = (value = '')),
  CONSTRAINT revocations_not_before_check CHECK ((kind IN ('jti', 'sid')) = (not_before IS NULL))
);
CREATE INDEX revocations_expires_at_idx ON revocations (expires_at);
-- What every refresh looks at: rules that end sessions without touching their rows.
CREATE INDEX revocations_wide_idx ON revocations (kind, value, not_before) WHERE kind IN ('client', 'all');

-- One row: under this name the installation keeps in Redis what all of its nodes share.
CREATE TABLE installation (
  id uuid PRIMARY KEY
);
INSERT INTO installation (id) VALUES (gen_random_uuid());

-- The sessions of a client that is deleted. Its column never changes, so that updates stay heap-only.
CREATE INDEX sessions_client_id_idx ON sessions (client_id);
