-- Devices on which somebody has logged in to an account: guesses from elsewhere do not slow them down.
CREATE TABLE devices (
  id          uuid PRIMARY KEY,
  user_id     uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  -- SHA-256 of the secret in its token.
  secret_hash bytea NOT NULL,
  -- The latest login on it. It may be gone: a device is known for longer than a session lives.
  session_id  uuid NOT NULL,
  expires_at  timestamptz(3) NOT NULL
);
-- Of a user, the last used first.
CREATE INDEX devices_user_id_idx ON devices (user_id, expires_at);
