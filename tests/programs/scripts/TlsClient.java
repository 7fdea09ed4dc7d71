import java.io.FileInputStream;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.Security;
import java.security.cert.CertificateFactory;
import javax.net.ssl.HttpsURLConnection;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/** Fetches a page over TLS, with whatever key of the token the server accepts. */
class TlsClient {
    /** Arguments: the configuration of SunPKCS11, a file with the PIN, the server's certificate, the address. */
    public static void main(String[] args) throws Exception {
        var provider = Security.getProvider("SunPKCS11").configure(args[0]);
        Security.addProvider(provider);
        var token = KeyStore.getInstance("PKCS11", provider);
        token.load(null, Files.readString(Path.of(args[1])).toCharArray());
        var keys = KeyManagerFactory.getInstance("PKIX");
        keys.init(token, null);

        var trusted = KeyStore.getInstance("PKCS12");
        trusted.load(null, null);
        try (var file = new FileInputStream(args[2])) {
            var certificate = CertificateFactory.getInstance("X.509").generateCertificate(file);
            trusted.setCertificateEntry("server", certificate);
        }
        var trust = TrustManagerFactory.getInstance("PKIX");
        trust.init(trusted);

        var context = SSLContext.getInstance("TLS");
        context.init(keys.getKeyManagers(), trust.getTrustManagers(), null);
        var connection = (HttpsURLConnection) URI.create(args[3]).toURL().openConnection();
        connection.setSSLSocketFactory(context.getSocketFactory());
        try (var page = connection.getInputStream()) {
            page.transferTo(System.out);
        }
    }
}
