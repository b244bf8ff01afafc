-- A rotation that was asked for and has to wait: since when. Null: nobody has asked for this key.
ALTER TABLE signing_keys ADD COLUMN promote_at timestamptz(3);
-- Seconds: the longest life that tokens signed with this key may have been given. A client's own setting may be lowered,
-- or the client deleted, while such tokens are still out.
ALTER TABLE signing_keys ADD COLUMN longest_token_ttl integer NOT NULL DEFAULT 0;
