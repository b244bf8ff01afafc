# Asks Keyturn what an access token is worth at the moment; the standard library is enough.

require 'json'
require 'net/http'

ISSUER, CLIENT_ID, CLIENT_SECRET = ENV.values_at('ISSUER', 'CLIENT_ID', 'CLIENT_SECRET')
unless ISSUER && CLIENT_ID && CLIENT_SECRET
  warn 'set ISSUER, CLIENT_ID and CLIENT_SECRET'
  exit 2
end

# The claims; nil if the token is refused. Raises where that cannot be told.
def introspect(token)
  uri = URI("#{ISSUER}/oauth/introspect")
  request = Net::HTTP::Post.new(uri)
  request.set_form_data(token: token, client_id: CLIENT_ID, client_secret: CLIENT_SECRET)
  options = { use_ssl: uri.scheme == 'https', open_timeout: 5, read_timeout: 5 }
  response = Net::HTTP.start(uri.host, uri.port, options) { |http| http.request(request) }
  response.value # raises unless 2xx
  claims = JSON.parse(response.body)
  claims if claims['active'] && claims['token_type'] == 'Bearer'
end

begin
  claims = introspect($stdin.read.strip)
rescue Net::ProtocolError, Timeout::Error, SystemCallError => e
  warn "unknown: #{e.message}"
  exit 3
end
abort 'refused' unless claims
puts JSON.generate(claims)
