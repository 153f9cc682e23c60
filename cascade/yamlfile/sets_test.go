package yamlfile

import "testing"

// TestSampleTree reads the context sets of spec/cascade.md section 13, T1.
func TestSampleTree(t *testing.T) {
	const file = `beta_plus:
  withTags: groupware_plus & beta
  com.openexchange.messaging.rss: true
  com.openexchange.quota.mailbox: 20480
plus:
  withTags: groupware_plus
  com.openexchange.quota.mailbox: 10240
  com.openexchange.hostname: plus.example.com
webmail:
  withTags: "webmail & !beta"
  com.openexchange.quota.mailbox: 512
brand_es:
  withTags: es
  com.openexchange.hostname: correo.example.es
`
	blocks, fs, ok := ParseSets("contextSets/offers.yml", []byte(file))
	if !ok || len(fs) != 0 || len(blocks) != 4 {
		t.Fatalf("ok=%v findings=%v blocks=%d", ok, fs, len(blocks))
	}
	b := blocks[2]
	if b.Name != "webmail" || b.Line != 9 || b.With.Line != 10 || b.With.Col != 14 || b.Expr.String() != "webmail & !beta" {
		t.Errorf("third block: %+v", b)
	}
	if p := b.Properties[0]; p.Name != "com.openexchange.quota.mailbox" || p.Value != (Value{Text: "512", Defined: true, Line: 11, Col: 3}) {
		t.Errorf("property: %+v", p)
	}
}
