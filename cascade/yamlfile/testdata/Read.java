import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.Map;
import org.yaml.snakeyaml.Yaml;

/**
 * Reads one document per line from standard input, as hex of UTF-8, with
 * SnakeYAML's default settings, and writes one JSON line for each: either
 * {"refused":REASON}, or {"blocks":[{"name":N,"entries":[[KEY,VALUE],...]}]}
 * with null for a null value, or {"name":N,"text":T} for a block that is no
 * map. Keys and values are what toString makes of the objects.
 */
public class Read {
    public static void main(String[] args) throws Exception {
        var in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
        var out = new PrintStream(System.out, false, StandardCharsets.US_ASCII);
        for (String line; (line = in.readLine()) != null; ) {
            out.println(read(new String(HexFormat.of().parseHex(line.trim()), StandardCharsets.UTF_8)));
        }
        out.flush();
    }

    private static String read(String text) {
        Object document;
        try {
            document = new Yaml().load(text);
        } catch (RuntimeException | StackOverflowError e) {
            return "{\"refused\":" + quote(String.valueOf(e.getMessage()).lines().findFirst().orElse("")) + "}";
        }
        if (document == null) {
            return "{\"blocks\":[]}";
        }
        if (!(document instanceof Map<?, ?> blocks)) {
            return "{\"refused\":\"the top level is no map\"}";
        }
        var out = new StringBuilder();
        for (var block : blocks.entrySet()) {
            out.append(out.isEmpty() ? "" : ",").append("{\"name\":").append(quote(String.valueOf(block.getKey())));
            if (block.getValue() instanceof Map<?, ?> body) {
                var entries = new StringBuilder();
                for (var e : body.entrySet()) {
                    entries.append(entries.isEmpty() ? "" : ",").append('[').append(quote(String.valueOf(e.getKey()))).append(',');
                    entries.append(e.getValue() == null ? "null" : quote(e.getValue().toString())).append(']');
                }
                out.append(",\"entries\":[").append(entries).append("]}");
            } else {
                out.append(",\"text\":").append(quote(String.valueOf(block.getValue()))).append('}');
            }
        }
        return "{\"blocks\":[" + out + "]}";
    }

    private static String quote(String s) {
        var out = new StringBuilder("\"");
        for (char c : s.toCharArray()) {
            if (c == '"' || c == '\\') {
                out.append('\\').append(c);
            } else if (c < ' ' || c > '~') {
                out.append(String.format("\\u%04x", (int) c));
            } else {
                out.append(c);
            }
        }
        return out.append('"').toString();
    }
}
