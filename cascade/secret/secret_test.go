package secret

import "testing"

func TestShow(t *testing.T) {
	rows := []struct{ name, value, want string }{
		{"com.openexchange.db.password", "p", Mask},
		{"com.openexchange.db.Password", "1234", Mask},
		{"MASTER_PASSWD", "p", Mask},
		{"db.pwd", "true", Mask},
		{"tls.keystore.pass", "p", Mask},
		{"tls.passphrase", "p", Mask},
		{"com.openexchange.cookie.hash.salt", "p", Mask},
		{"com.openexchange.share.cryptKey", "p", Mask},
		{"x.encryption-key", "p", Mask},
		{"x.Encryption.Key", "p", Mask},
		{"x.encryption_key", "p", Mask},
		{"com.openexchange.push.vapid.privateKey", "p", Mask},
		{"com.openexchange.push.vapid.publicKey", "p", Mask},
		{"jwt.signingKey", "p", Mask},
		{"x.apiKey", "p", Mask},
		{"x.credentials", "p", Mask},
		{"x.authToken", "p", Mask},
		{"x.password.1", "1234", Mask},
		{"x.tokenLifetime", "60", Mask},
		{"io.ox/core//secret", "p", Mask},

		{"com.openexchange.passwordchange.minLength", "8", "8"},
		{"com.openexchange.passwordchange.enabled", "true", "true"},
		{"com.openexchange.token.lifetime", "1h 30m", "1h 30m"},
		{"com.openexchange.token.lifetime", "500ms", "500ms"},
		{"com.openexchange.passwordchange.script", "/bin/x", Mask},
		{"com.openexchange.secret.source", "1x", Mask},
		{"com.openexchange.foo", "bar", "bar"},
		{"com.openexchange.passenger", "bar", "bar"},
		{"io.ox/core//theme", "a@b=c", "a@b=c"},

		{"com.openexchange.redis.hosts", "redis://u:p@h:6379", "redis://u:" + Mask + "@h:6379"},
		{"a", "redis://:p/w#1@h, redis://h2:1", "redis://:" + Mask + "@h, redis://h2:1"},
		{"a", "https://u:p:q@h/x https://v:r@i", "https://u:" + Mask + "@h/x https://v:" + Mask + "@i"},
		{"a", "https://h:8080/x?y=z", "https://h:8080/x?y=z"},
		{"a", "https://u@h/x", "https://u@h/x"},
		{"a", "jdbc:mysql://h/db?user=u&password=p&useSSL=true", "jdbc:mysql://h/db?user=u&password=" + Mask + "&useSSL=true"},
		{"a", "jdbc:sqlserver://h;user=u;password=p;x=y", "jdbc:sqlserver://h;user=u;password=" + Mask + ";x=y"},
		{"a", "jdbc:oracle:thin:u/p@h:1521:db", "jdbc:oracle:thin:u/" + Mask + "@h:1521:db"},
		{"writeProperty.2", "password=p;q&r s", "password=" + Mask},
		{"configdb.readProperty.1", "user=openexchange", "user=openexchange"},
		{"readProperty.3", "clientCertificateKeyStorePassword=x y", "clientCertificateKeyStorePassword=" + Mask},
		{"a.hook", "https://h/?token=abc", "https://h/?token=" + Mask},
	}
	for _, r := range rows {
		if got := Show(r.name, r.value, nil); got != r.want {
			t.Errorf("%s = %q shows %q, want %q", r.name, r.value, got, r.want)
		}
	}
}

func TestPatterns(t *testing.T) {
	patterns := []string{"*.licence", "io.ox/*//pin", "COM.example.x"}
	for name, want := range map[string]bool{
		"a.b.licence": true, "a.licenceKey": false, "io.ox/core//pin": true, "com.example.X": true, "com.example.x.y": false,
	} {
		if got := Show(name, "1", patterns) == Mask; got != want {
			t.Errorf("%s: masked %v, want %v", name, got, want)
		}
	}
	if CheckPattern("a[") == nil || CheckPattern("a.*") != nil {
		t.Error("patterns are not checked")
	}
}

// FuzzShow: whatever a value is, what Show leaves of it is the same when shown
// again.
func FuzzShow(f *testing.F) {
	f.Add("a", "redis://u:p@h")
	f.Add("writeProperty.1", "password=x")
	f.Fuzz(func(t *testing.T, name, value string) {
		once := Show(name, value, nil)
		if twice := Show(name, once, nil); twice != once && twice != Mask {
			t.Errorf("%q %q: %q, then %q", name, value, once, twice)
		}
	})
}
