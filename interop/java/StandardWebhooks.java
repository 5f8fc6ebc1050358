import com.standardwebhooks.Webhook;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;

final class StandardWebhooks {
    /** The body holds the bytes as they came; the secret is "whsec_…". The map must find names in lower case. */
    static void verify(byte[] body, Map<String, List<String>> headers, String secret) throws Exception {
        new Webhook(secret).verify(new String(body, StandardCharsets.UTF_8), headers);
    }
}
