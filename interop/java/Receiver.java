import com.standardwebhooks.Webhook;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.Properties;
import java.util.concurrent.Executors;

/** A receiver with a path for each scheme. It prints where it listens and which versions it runs, and ends with its stdin. */
public final class Receiver {
    public static void main(String[] args) throws Exception {
        HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.setExecutor(Executors.newFixedThreadPool(4));
        server.createContext("/", Receiver::handle);
        server.start();

        Properties properties = new Properties();
        try (InputStream in = Webhook.class.getResourceAsStream(
                "/META-INF/maven/com.standardwebhooks/standardwebhooks/pom.properties")) {
            properties.load(in);
        }
        System.out.printf("{\"port\":%d,\"language\":\"Java %s\",\"versions\":{\"com.standardwebhooks:standardwebhooks\":\"%s\"}}%n",
                server.getAddress().getPort(), System.getProperty("java.version"), properties.getProperty("version"));
        while (System.in.read() != -1) {
        }
        System.exit(0);
    }

    private static void handle(HttpExchange exchange) throws IOException {
        byte[] body = exchange.getRequestBody().readAllBytes();
        int status = 200;
        String answer = "";
        try {
            answer = answer(exchange, body);
        } catch (Exception error) {
            status = 401;
            answer = error.toString();
        }
        byte[] bytes = answer.getBytes(StandardCharsets.UTF_8);
        exchange.sendResponseHeaders(status, bytes.length == 0 ? -1 : bytes.length);
        try (OutputStream out = exchange.getResponseBody()) {
            out.write(bytes);
        }
        exchange.close();
    }

    private static String answer(HttpExchange exchange, byte[] body) throws Exception {
        String path = exchange.getRequestURI().getPath();
        switch (path) {
            case "/standardwebhooks":
                StandardWebhooks.verify(body, exchange.getRequestHeaders(), System.getenv("WEBHOOK_SECRET"));
                return "";
            case "/standardwebhooks/old":
                StandardWebhooks.verify(body, exchange.getRequestHeaders(), System.getenv("OLD_WEBHOOK_SECRET"));
                return "";
            case "/sign/standardwebhooks": // what the library signs, given the request's ID and time
                return new Webhook(System.getenv("WEBHOOK_SECRET")).sign(
                        exchange.getRequestHeaders().getFirst("webhook-id"),
                        Long.parseLong(exchange.getRequestHeaders().getFirst("webhook-timestamp")),
                        new String(body, StandardCharsets.UTF_8));
            default:
                throw new IllegalArgumentException("nothing at " + path);
        }
    }
}
