// Verifies an access token of Keyturn with its public keys. Not run by the tests.
// Maven: com.nimbusds:nimbus-jose-jwt

import com.nimbusds.jose.JOSEObjectType;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.jwk.source.JWKSource;
import com.nimbusds.jose.jwk.source.JWKSourceBuilder;
import com.nimbusds.jose.proc.DefaultJOSEObjectTypeVerifier;
import com.nimbusds.jose.proc.JWSVerificationKeySelector;
import com.nimbusds.jose.proc.SecurityContext;
import com.nimbusds.jwt.JWTClaimsSet;
import com.nimbusds.jwt.proc.DefaultJWTClaimsVerifier;
import com.nimbusds.jwt.proc.DefaultJWTProcessor;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.Set;

public class Verify {
    // One for the process: it keeps the keys, and looks again when a token names one it does not have.
    static DefaultJWTProcessor<SecurityContext> verifier(String issuer, String audience) throws Exception {
        JWKSource<SecurityContext> keys =
            JWKSourceBuilder.create(URI.create(issuer + "/.well-known/jwks.json").toURL()).build();
        var processor = new DefaultJWTProcessor<SecurityContext>();
        processor.setJWSTypeVerifier(new DefaultJOSEObjectTypeVerifier<>(new JOSEObjectType("at+jwt")));
        processor.setJWSKeySelector(new JWSVerificationKeySelector<>(JWSAlgorithm.RS256, keys));
        var expected = new JWTClaimsSet.Builder().issuer(issuer).build();
        var claims = new DefaultJWTClaimsVerifier<>(audience, expected, Set.of("exp", "iat", "sub", "jti"));
        claims.setMaxClockSkew(5);
        processor.setJWTClaimsSetVerifier(claims);
        return processor;
    }

    public static void main(String[] args) throws Exception {
        String issuer = System.getenv("ISSUER"), audience = System.getenv("AUDIENCE");
        if (issuer == null || audience == null) {
            System.err.println("set ISSUER and AUDIENCE");
            System.exit(2);
        }
        String token = new String(System.in.readAllBytes(), StandardCharsets.UTF_8).trim();
        try {
            System.out.println(verifier(issuer, audience).process(token, null));
        } catch (Exception e) {
            System.err.println("refused: " + e.getMessage());
            System.exit(1);
        }
    }
}
