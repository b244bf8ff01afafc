# Verifies an access token of Keyturn with its public keys: gem install jwt

require 'json'
require 'jwt'
require 'net/http'

ISSUER, AUDIENCE = ENV.values_at('ISSUER', 'AUDIENCE')
abort 'set ISSUER and AUDIENCE' unless ISSUER && AUDIENCE

# Keeps the keys for five minutes. A token that names an unknown one makes it look again, at most every ten seconds.
KEYS = lambda do |options|
  age = @fetched_at ? Process.clock_gettime(Process::CLOCK_MONOTONIC) - @fetched_at : Float::INFINITY
  if age > (options[:kid_not_found] ? 10 : 300)
    response = Net::HTTP.get_response(URI("#{ISSUER}/.well-known/jwks.json"))
    response.value # raises unless 2xx
    @jwks = JSON.parse(response.body, symbolize_names: true)
    @fetched_at = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end
  @jwks
end

def verify(token)
  payload, header = JWT.decode(
    token, nil, true,
    jwks: KEYS,
    algorithms: ['RS256'],
    iss: ISSUER, verify_iss: true,
    aud: AUDIENCE, verify_aud: true,
    required_claims: %w[exp iat sub jti],
    leeway: 5
  )
  raise JWT::DecodeError, 'typ is not at+jwt' unless header['typ'] == 'at+jwt'

  payload
end

begin
  puts JSON.generate(verify($stdin.read.strip))
rescue JWT::DecodeError, Net::ProtocolError, SystemCallError => e
  abort "refused: #{e.message}"
end
