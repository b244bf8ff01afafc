-- The most that the detection of anomalies may do to the sessions of a client.
ALTER TABLE clients ADD COLUMN anomaly_policy text NOT NULL DEFAULT 'flag'
  CHECK (anomaly_policy IN ('observe', 'flag', 'step_up', 'revoke'));

-- What the detection has to say of a session, and since when its next refresh needs the password. None of them is in an
-- index, so that updates stay heap-only; in a row that is as it should be they take no room.
ALTER TABLE sessions ADD COLUMN flagged_at timestamptz(3), ADD COLUMN flags jsonb, ADD COLUMN step_up_at timestamptz(3),
  ADD CONSTRAINT sessions_flags_check CHECK ((flagged_at IS NULL) = (flags IS NULL)) NOT VALID;

-- What is remembered of a user: one row of bounded size.
CREATE TABLE user_profiles (
  user_id    uuid PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
  profile    jsonb NOT NULL,
  -- Counts the changes: who has read another one than is there does not write.
  version    bigint NOT NULL,
  updated_at timestamptz(3) NOT NULL
) WITH (fillfactor = 70);

-- The events of the detection, few among many others.
CREATE INDEX audit_events_anomalies_idx ON audit_events (at, id)
  WHERE event IN ('session.flagged', 'session.stepped_up', 'session.step_up_failed', 'session.revoked_by_detection');
