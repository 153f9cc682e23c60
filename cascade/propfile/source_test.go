package propfile

import (
	"bytes"
	"testing"
)

// TestIndexControl tries every byte at every place of a word of eight and of
// what is left behind the last word, among neighbours that could borrow.
func TestIndexControl(t *testing.T) {
	for _, filler := range []byte{'a', ' ', '\n', 0x80, 0xff, '~'} {
		for c := range 256 {
			for at := range 21 {
				data := bytes.Repeat([]byte{filler}, 21)
				data[at] = byte(c)
				want := -1
				if c < 0x20 && c != '\t' && c != '\n' && c != '\f' && c != '\r' || c == 0x7f {
					want = at
				}
				if got := indexControl(data); got != want {
					t.Fatalf("byte %#x at %d among %#x: got %d, want %d", c, at, filler, got, want)
				}
			}
		}
	}
}

func TestEncodeIsTheInverseOfDecode(t *testing.T) {
	all := make([]byte, 0, 256)
	for c := range 256 {
		if !isControl(rune(c)) {
			all = append(all, byte(c))
		}
	}
	for _, data := range [][]byte{nil, []byte("a=é😀\r\n"), []byte(utf8BOM + "a=1"), all, append([]byte(utf8BOM), all...)} {
		src, ok := decode(&report{}, data)
		if got := src.encode(); !ok || !bytes.Equal(got, data) {
			t.Errorf("%q became %q, %v", data, got, ok)
		}
	}
}
