import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/**
 * Java's HttpClient as it is by default: on plain HTTP it offers h2c with its first request. Checks every answer of the echoing
 * server and prints "ok".
 */
public final class Client {
    public static void main(String[] args) throws Exception {
        String url = args[0];
        HttpClient client = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(20)).build();
        for (int round = 0; round < 20; round++) {
            check(client.send(request(url, "/" + round), HttpResponse.BodyHandlers.ofString()), "/" + round);
        }
        List<CompletableFuture<HttpResponse<String>>> together = new ArrayList<>();
        for (int number = 0; number < 20; number++) {
            together.add(client.sendAsync(request(url, "/async/" + number), HttpResponse.BodyHandlers.ofString()));
        }
        for (int number = 0; number < 20; number++) {
            check(together.get(number).get(), "/async/" + number);
        }
        HttpRequest missing = request(url, "/missing");
        int status = client.send(missing, HttpResponse.BodyHandlers.ofString()).statusCode();
        if (status != 404) {
            throw new IllegalStateException("/missing gave " + status);
        }
        System.out.println("ok");
    }

    private static HttpRequest request(String url, String path) {
        return HttpRequest.newBuilder(URI.create(url + path)).timeout(Duration.ofSeconds(20)).build();
    }

    private static void check(HttpResponse<String> answer, String path) {
        String want = "GET " + answer.uri().getAuthority() + " " + path + "\n";
        if (answer.statusCode() != 200 || !answer.body().equals(want)) {
            throw new IllegalStateException(path + " gave " + answer.statusCode() + " " + answer.body());
        }
    }
}
