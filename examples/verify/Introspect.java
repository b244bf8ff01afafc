// Asks Keyturn what an access token is worth at the moment. Not run by the tests.
// Maven: com.nimbusds:nimbus-jose-jwt, for its JSON

import com.nimbusds.jose.util.JSONObjectUtils;
import java.io.IOException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Map;
import java.util.stream.Collectors;

public class Introspect {
    static final HttpClient HTTP = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(5)).build();

    /** The claims; null if the token is refused. Throws where that cannot be told. */
    static Map<String, Object> introspect(String issuer, String clientId, String clientSecret, String token)
            throws Exception {
        var fields = Map.of("token", token, "client_id", clientId, "client_secret", clientSecret);
        var form = fields.entrySet().stream()
            .map(field -> field.getKey() + "=" + URLEncoder.encode(field.getValue(), StandardCharsets.UTF_8))
            .collect(Collectors.joining("&"));
        var request = HttpRequest.newBuilder(URI.create(issuer + "/oauth/introspect"))
            .header("Content-Type", "application/x-www-form-urlencoded")
            .timeout(Duration.ofSeconds(5))
            .POST(HttpRequest.BodyPublishers.ofString(form))
            .build();
        var response = HTTP.send(request, HttpResponse.BodyHandlers.ofString());
        if (response.statusCode() != 200) throw new IOException("status " + response.statusCode());
        var claims = JSONObjectUtils.parse(response.body());
        boolean isGood = Boolean.TRUE.equals(claims.get("active")) && "Bearer".equals(claims.get("token_type"));
        return isGood ? claims : null;
    }

    public static void main(String[] args) throws Exception {
        String issuer = System.getenv("ISSUER");
        String clientId = System.getenv("CLIENT_ID"), clientSecret = System.getenv("CLIENT_SECRET");
        if (issuer == null || clientId == null || clientSecret == null) {
            System.err.println("set ISSUER, CLIENT_ID and CLIENT_SECRET");
            System.exit(2);
        }
        String token = new String(System.in.readAllBytes(), StandardCharsets.UTF_8).trim();
        Map<String, Object> claims = null;
        try {
            claims = introspect(issuer, clientId, clientSecret, token);
        } catch (Exception e) {
            System.err.println("unknown: " + e.getMessage());
            System.exit(3);
        }
        if (claims == null) {
            System.err.println("refused");
            System.exit(1);
        }
        System.out.println(JSONObjectUtils.toJSONString(claims));
    }
}
