-- Asks Keyturn whether a request may pass: `http-request lua.keyturn-check audience=api`.
-- Only its 200 with a subject lets one through. Its 401 and 403 are handed to the client. All else sets nothing, and a rule of
-- haproxy.cfg refuses what was not let through: so a fault in here lets nothing through either.

-- The frontend `check` of haproxy.cfg, which knows where Keyturn is.
local CHECK = 'http://127.0.0.1:8081/v1/authorize?'
-- Longer than the one in haproxy.cfg: after its own, HAProxy's client would ask three times more.
local TIMEOUT_MS = 5000

local ASKED_WITH = { 'authorization', 'origin', 'x-request-id', 'x-forwarded-for' }
-- The identity is for the backend. `jwt` is the renewed token, under the name in ACCESS_TOKEN_HEADER, for the client.
local WITH_YES = { 'x-auth-subject', 'x-auth-session', 'x-auth-client', 'x-auth-scope', 'x-auth-roles', 'jwt' }
-- They let a page read the answer, whatever it is.
local WITH_ALL = { 'access-control-allow-origin', 'access-control-expose-headers', 'vary' }
local WITH_REFUSAL = { 'www-authenticate', 'content-type' }

-- HAProxy counts the values of a header from 0.
local function first(answer, name)
  local values = answer.headers[name]
  return values and values[0]
end

local function keep(txn, answer, names)
  for _, name in ipairs(names) do
    local value = first(answer, name)
    if value then txn:set_var('txn.' .. name:gsub('-', '_'), value) end
  end
end

local function refuse(txn, answer)
  local reply = txn:reply({ status = answer.status, body = answer.body })
  for _, name in ipairs(WITH_REFUSAL) do
    local value = first(answer, name)
    if value then reply:add_header(name, value) end
  end
  txn:done(reply)
end

core.register_action('keyturn-check', { 'http-req' }, function(txn, query)
  local given, headers = txn.http:req_get_headers(), {}
  -- Every value of each: it is for Keyturn to refuse two Authorization headers.
  for _, name in ipairs(ASKED_WITH) do headers[name] = given[name] end
  local answer = core.httpclient():get({ url = CHECK .. query, headers = headers, timeout = TIMEOUT_MS })
  if not (answer and answer.status and answer.headers) then return end

  keep(txn, answer, WITH_ALL)
  -- A 200 without a subject is somebody else's.
  if answer.status == 200 and first(answer, 'x-auth-subject') then
    keep(txn, answer, WITH_YES)
    txn:set_var('txn.may_pass', true)
  elseif answer.status == 401 or answer.status == 403 then
    refuse(txn, answer)
  end
end, 1)
