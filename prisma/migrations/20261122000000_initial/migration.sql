-- The one HMAC that must be computed where the row is: the conditional UPDATE of a rotation proves the token's tag
-- under the session's family key before it changes anything, in its single round trip.
-- RFC 2104 with SHA-256 for keys of exactly 32 bytes: the key's four words are XORed with a pad (0x36… or 0x5c…), and the
-- rest of the 64-byte block is the pad itself. Built-in functions only, so that it runs everywhere; single expressions,
-- so that Postgres inlines them into the prepared statement (as functions with a body they cost more than the UPDATE).
CREATE FUNCTION keyturn_xor_word(key bytea, at integer, pad bigint) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT int8send(('x' || encode(substring(key FROM at FOR 8), 'hex'))::bit(64)::bigint # pad)
$$;

CREATE FUNCTION keyturn_hmac_sha256(key bytea, message bytea) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT sha256(
    keyturn_xor_word(key, 1, 6655295901103053916) || keyturn_xor_word(key, 9, 6655295901103053916) ||
    keyturn_xor_word(key, 17, 6655295901103053916) || keyturn_xor_word(key, 25, 6655295901103053916) ||
    '\x5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c'::bytea ||
    sha256(
      keyturn_xor_word(key, 1, 3906369333256140342) || keyturn_xor_word(key, 9, 3906369333256140342) ||
      keyturn_xor_word(key, 17, 3906369333256140342) || keyturn_xor_word(key, 25, 3906369333256140342) ||
      '\x3636363636363636363636363636363636363636363636363636363636363636'::bytea || message))
$$;

CREATE TABLE users (
  id                  uuid PRIMARY KEY,
  email               text NOT NULL,
  email_key           text NOT NULL,
  email_verified      boolean NOT NULL DEFAULT false,
  password_hash       text NOT NULL,
  password_changed_at timestamptz(3) NOT NULL,
  roles               text[] NOT NULL DEFAULT '{}',
  disabled_at         timestamptz(3),
  created_at          timestamptz(3) NOT NULL
);
CREATE UNIQUE INDEX users_email_key_key ON users (email_key);

CREATE TABLE clients (
  client_id        text PRIMARY KEY,
  name             text NOT NULL,
  type             text NOT NULL CHECK (type IN ('public', 'confidential')),
  secret_hash      bytea,
  audiences        text[] NOT NULL,
  scopes           text[] NOT NULL DEFAULT '{}',
  grants           text[] NOT NULL,
  required_roles   text[] NOT NULL DEFAULT '{}',
  access_token_ttl integer NOT NULL CHECK (access_token_ttl > 0),
  idle_ttl         integer NOT NULL CHECK (idle_ttl > 0),
  absolute_ttl     integer NOT NULL CHECK (absolute_ttl > 0),
  token_delivery   text NOT NULL CHECK (token_delivery IN ('body', 'header')),
  renew_after      integer NOT NULL CHECK (renew_after >= 0),
  cors_origins     text[] NOT NULL DEFAULT '{}',
  created_at       timestamptz(3) NOT NULL,
  CONSTRAINT clients_secret_check CHECK ((type = 'confidential') = (secret_hash IS NOT NULL)),
  CONSTRAINT clients_audiences_check CHECK (cardinality(audiences) > 0)
);

-- One row a session for its whole life. A rotation changes no indexed column and leaves room on the page for the new
-- version of the row, so that Postgres can make heap-only updates.
CREATE TABLE sessions (
  id              uuid PRIMARY KEY,
  user_id         uuid NOT NULL REFERENCES users (id),
  client_id       text NOT NULL REFERENCES clients (client_id),
  audience        text NOT NULL,
  scope           text NOT NULL,
  generation      integer NOT NULL CHECK (generation >= 0),
  current_hash    bytea NOT NULL,
  previous_hash   bytea,
  rotation_salt   bytea NOT NULL,
  rotations       jsonb NOT NULL DEFAULT '[]',
  family_key      bytea NOT NULL CHECK (length(family_key) = 32),
  idle_expires_at timestamptz(3) NOT NULL,
  expires_at      timestamptz(3) NOT NULL,
  revoked_at      timestamptz(3),
  revoke_reason   text,
  device_name     text,
  user_agent      text,
  ip              text,
  place           text,
  created_at      timestamptz(3) NOT NULL,
  last_seen_at    timestamptz(3) NOT NULL,
  CONSTRAINT sessions_revoked_check CHECK ((revoked_at IS NULL) = (revoke_reason IS NULL))
) WITH (fillfactor = 70);
CREATE INDEX sessions_user_id_idx ON sessions (user_id);
CREATE INDEX sessions_expires_at_idx ON sessions (expires_at);

CREATE TABLE signing_keys (
  kid            text PRIMARY KEY,
  alg            text NOT NULL CHECK (alg IN ('RS256', 'PS256', 'ES256', 'EdDSA')),
  state          text NOT NULL CHECK (state IN ('pending', 'active', 'retiring', 'retired', 'revoked')),
  public_jwk     jsonb NOT NULL,
  sealed_private bytea,
  kek_id         text,
  created_at     timestamptz(3) NOT NULL,
  published_at   timestamptz(3) NOT NULL,
  activated_at   timestamptz(3),
  retiring_at    timestamptz(3),
  retired_at     timestamptz(3),
  revoked_at     timestamptz(3),
  -- The private part exists, sealed, as long as the key can come to sign, and not a moment longer.
  CONSTRAINT signing_keys_private_check CHECK ((state IN ('pending', 'active')) = (sealed_private IS NOT NULL)),
  CONSTRAINT signing_keys_kek_check CHECK ((sealed_private IS NULL) = (kek_id IS NULL))
);
CREATE UNIQUE INDEX signing_keys_one_active_idx ON signing_keys (alg) WHERE state = 'active';

CREATE TABLE audit_events (
  id         bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
  at         timestamptz(3) NOT NULL,
  event      text NOT NULL,
  outcome    text NOT NULL CHECK (outcome IN ('success', 'failure')),
  actor      text NOT NULL,
  user_id    uuid,
  session_id uuid,
  client_id  text,
  jti        text,
  ip         text,
  place      text,
  user_agent text,
  request_id text,
  details    jsonb
);
CREATE INDEX audit_events_user_id_id_idx ON audit_events (user_id, id);
