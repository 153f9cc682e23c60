import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.Properties;

/**
 * Reads one file per line from standard input, as "utf8 HEX" or "latin1 HEX",
 * and writes one line for each: "ok" and its entries in order, every
 * occurrence, as KEY=VALUE=RAW in UTF-16BE hex, where key and value went
 * through String.trim and RAW is both without that; or "refused".
 */
public class Load {
    public static void main(String[] args) throws IOException {
        var in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
        var out = new PrintStream(System.out, false, StandardCharsets.US_ASCII);
        for (String line; (line = in.readLine()) != null; ) {
            int space = line.indexOf(' ');
            Charset charset = line.startsWith("latin1") ? StandardCharsets.ISO_8859_1 : StandardCharsets.UTF_8;
            out.println(load(HexFormat.of().parseHex(line.substring(space + 1)), charset));
        }
        out.flush();
    }

    private static String load(byte[] data, Charset charset) throws IOException {
        var entries = new StringBuilder("ok");
        var properties = new Properties() {
            @Override
            public synchronized Object put(Object key, Object value) {
                String k = (String) key;
                String v = (String) value;
                entries.append(' ').append(hex(k.trim())).append('=').append(hex(v.trim())).append('=').append(hex(k + v));
                return super.put(key, value);
            }
        };
        try {
            properties.load(new InputStreamReader(new ByteArrayInputStream(data), charset));
        } catch (IllegalArgumentException e) {
            return "refused";
        }
        return entries.toString();
    }

    // Not through a Charset, which would replace lone surrogates.
    private static String hex(String text) {
        var digits = new StringBuilder();
        for (char unit : text.toCharArray()) {
            digits.append(HexFormat.of().toHexDigits(unit));
        }
        return digits.toString();
    }
}
