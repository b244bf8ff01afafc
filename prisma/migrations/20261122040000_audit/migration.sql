-- With which session and which token it was done. The columns that there were say whom it concerns.
ALTER TABLE audit_events ADD COLUMN by_session_id uuid, ADD COLUMN by_jti text;

-- What is looked for, in the order in which it is shown. A session has few events, which are sorted: only its id is in
-- the index. Acts with an access token are rare, and so is whatever has a `jti`.
CREATE INDEX audit_events_at_id_idx ON audit_events (at, id);
CREATE INDEX audit_events_user_id_at_id_idx ON audit_events (user_id, at, id) WHERE user_id IS NOT NULL;
CREATE INDEX audit_events_session_id_idx ON audit_events (session_id) WHERE session_id IS NOT NULL;
CREATE INDEX audit_events_by_session_id_idx ON audit_events (by_session_id) WHERE by_session_id IS NOT NULL;
CREATE INDEX audit_events_jti_idx ON audit_events (jti) WHERE jti IS NOT NULL;
CREATE INDEX audit_events_by_jti_idx ON audit_events (by_jti) WHERE by_jti IS NOT NULL;
-- Where what is left begins: the last of these.
CREATE INDEX audit_events_expired_idx ON audit_events (id) WHERE event = 'audit.expired';
DROP INDEX audit_events_user_id_id_idx;

-- One row a batch of events, all of them with ids up to last_id that no seal before has.
CREATE TABLE audit_seals (
  sequence      bigint PRIMARY KEY CHECK (sequence > 0),
  -- Of the canonical form that is hashed: docs/audit.md.
  form          smallint NOT NULL,
  first_id      bigint NOT NULL,
  last_id       bigint NOT NULL,
  count         integer NOT NULL CHECK (count > 0),
  -- 32 bytes for each event, in the order of the ids: with them verification can name the event that is not as it was.
  event_hashes  bytea NOT NULL,
  previous_hash bytea NOT NULL CHECK (length(previous_hash) = 32),
  hash          bytea NOT NULL CHECK (length(hash) = 32),
  sealed_at     timestamptz(3) NOT NULL,
  CONSTRAINT audit_seals_ids_check CHECK (first_id <= last_id),
  CONSTRAINT audit_seals_hashes_check CHECK (length(event_hashes) = 32 * count)
);
-- They are read one by one in any case, and digests cannot be compressed.
ALTER TABLE audit_seals ALTER COLUMN event_hashes SET STORAGE EXTERNAL;

CREATE FUNCTION keyturn_append_only() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' AND current_setting('keyturn.audit_expiring', true) = 'on' THEN
    RETURN NULL;
  END IF;
  RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER audit_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_events
  FOR EACH STATEMENT EXECUTE FUNCTION keyturn_append_only();
CREATE TRIGGER audit_seals_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_seals
  FOR EACH STATEMENT EXECUTE FUNCTION keyturn_append_only();

-- The only way in which events go: whole batches, from the beginning, that were sealed before `before`; the newest seal
-- stays, since the next one is chained to it. One call takes about `at_most` events, and leaves an event that says where
-- what is left begins. It runs with the rights of its owner, so that a role that may not delete can call it.
-- `events` is null while somebody else is at it.
CREATE FUNCTION keyturn_audit_expire(before timestamptz, at_most integer, OUT events integer)
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
  until record;
BEGIN
  IF NOT pg_try_advisory_xact_lock(7310868735422866532) THEN
    RETURN;
  END IF;
  events := 0;
  SELECT due.sequence, due.last_id, due.hash INTO until FROM (
      SELECT s.sequence, s.last_id, s.hash, s.sealed_at, sum(s.count) OVER (ORDER BY s.sequence) - s.count AS earlier,
        max(s.sealed_at) OVER (ORDER BY s.sequence) AS newest, max(s.sequence) OVER () AS last
      FROM (SELECT * FROM audit_seals ORDER BY sequence LIMIT at_most + 1) AS s
    ) AS due
    WHERE due.newest < before AND due.earlier < at_most AND due.sequence < due.last
    ORDER BY due.sequence DESC LIMIT 1;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  PERFORM set_config('keyturn.audit_expiring', 'on', true);
  DELETE FROM audit_events WHERE id <= until.last_id;
  GET DIAGNOSTICS events = ROW_COUNT;
  DELETE FROM audit_seals WHERE sequence <= until.sequence;
  PERFORM set_config('keyturn.audit_expiring', 'off', true);
  INSERT INTO audit_events (at, event, outcome, actor, details)
    VALUES (clock_timestamp(), 'audit.expired', 'success', 'service', jsonb_build_object('events', events,
      'through_seal', until.sequence, 'through_id', until.last_id::text, 'hash', encode(until.hash, 'hex')));
END
$$;
-- Nobody puts a table of his own in the place of these.
DO $$ BEGIN
  EXECUTE format('ALTER FUNCTION keyturn_audit_expire SET search_path = %I, pg_temp', current_schema());
END $$;
REVOKE ALL ON FUNCTION keyturn_audit_expire FROM PUBLIC;
