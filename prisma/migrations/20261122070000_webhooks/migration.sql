-- Whom security events are sent to.
CREATE TABLE webhook_endpoints (
  id              uuid PRIMARY KEY,
  url             text NOT NULL,
  -- Names of events, groups of them (`login.*`), or `*`.
  events          text[] NOT NULL,
  description     text,
  -- AES-256-GCM under the KEK `kek_id`: the secret, and after it the one before, if that still signs.
  sealed_secrets  bytea NOT NULL,
  kek_id          text NOT NULL,
  previous_until  timestamptz(3),
  -- The last seal of the audit trail whose events have become deliveries, or were not asked for.
  seal            bigint NOT NULL,
  created_at      timestamptz(3) NOT NULL,
  disabled_at     timestamptz(3),
  disabled_reason text,
  -- Since when no attempt has succeeded; null while they do.
  failing_since   timestamptz(3),
  -- When the audit trail was told that a delivery was given up, since then.
  told_at         timestamptz(3),
  -- It has asked to be left alone until then.
  not_before      timestamptz(3),
  CONSTRAINT webhook_endpoints_disabled_check CHECK ((disabled_at IS NULL) = (disabled_reason IS NULL))
);

-- The outbox: one row an event and endpoint that wants it. What was taken may outlive its endpoint until it expires: to
-- remove all of it at once could take longer than a statement may.
CREATE TABLE webhook_deliveries (
  id          uuid PRIMARY KEY,
  endpoint_id uuid NOT NULL,
  -- Null for a test.
  event_id    bigint,
  event       text NOT NULL,
  -- What is sent, the same each time; null once it was.
  body        text,
  state       text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'failed')),
  attempts    integer NOT NULL DEFAULT 0,
  made_at     timestamptz(3) NOT NULL,
  -- When it is due. While a node is at it: when another one may take it over.
  next_at     timestamptz(3),
  last_at     timestamptz(3),
  last_status integer,
  last_error  text,
  -- When what is done is taken away.
  expires_at  timestamptz(3),
  CONSTRAINT webhook_deliveries_done_check CHECK (
    (state = 'pending') = (next_at IS NOT NULL) AND (state = 'pending') = (expires_at IS NULL)
    AND (state = 'delivered') = (body IS NULL)
  )
);
-- Those that are due together go out in the order of their events.
CREATE INDEX webhook_deliveries_due_idx ON webhook_deliveries (endpoint_id, next_at, event_id) WHERE state = 'pending';
-- Ids ascend with time: the oldest comes first.
CREATE INDEX webhook_deliveries_pending_idx ON webhook_deliveries (id) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_endpoint_id_idx ON webhook_deliveries (endpoint_id, id);
CREATE INDEX webhook_deliveries_failed_idx ON webhook_deliveries (endpoint_id, id) WHERE state = 'failed';
CREATE INDEX webhook_deliveries_expires_at_idx ON webhook_deliveries (expires_at) WHERE expires_at IS NOT NULL;
