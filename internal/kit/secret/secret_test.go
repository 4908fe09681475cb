package secret

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func secret(t *testing.T, fill byte) Secret {
	t.Helper()
	s, err := New(bytes.Repeat([]byte{fill}, Octets))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestWhatIsASecret(t *testing.T) {
	for _, octets := range [][]byte{nil, {}, make([]byte, Octets), bytes.Repeat([]byte{1}, Octets-1), bytes.Repeat([]byte{1}, Octets+1)} {
		if s, err := New(octets); !errors.Is(err, ErrSecret) || !s.IsZero() {
			t.Errorf("%d octets: %v", len(octets), err)
		}
	}
	last := make([]byte, Octets)
	last[Octets-1] = 1
	if s, err := New(last); err != nil || s.IsZero() {
		t.Errorf("one bit: %v", err)
	}
}

// Computed with OpenSSL: printf '\005grant\001x' | openssl dgst -sha256 -mac HMAC
// -macopt hexkey:4141…
func TestKnownAnswers(t *testing.T) {
	s := secret(t, 'A')
	for want, texts := range map[string][]string{
		"3b5e8efe973aafa23dbd7fc728bb0611b17954dc94306ff75ffd17018fa05da8": {"grant", "x"},
		"595a67cdd155b156011323818105d3d30cf8f6aad916685c0b2d1d7b7678b728": {},
	} {
		if got := hex.EncodeToString(s.Sum(texts...)); got != want {
			t.Errorf("%q: %s, want %s", texts, got, want)
		}
	}
}

func TestNoTwoListsAreTheSame(t *testing.T) {
	s, seen := secret(t, 1), map[string]bool{}
	for _, texts := range [][]string{{"ab"}, {"a", "b"}, {"", "ab"}, {"ab", ""}, {"a\x01b"}, {}} {
		sum := string(s.Sum(texts...))
		if seen[sum] || string(secret(t, 2).Sum(texts...)) == sum {
			t.Errorf("%q", texts)
		}
		seen[sum] = true
	}
}

func TestItNeverPrintsItself(t *testing.T) {
	s := secret(t, 'A')
	asJSON, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprintf("%v %+v %#v %s %q %d %x %X %c", s, s, s, s, s, s, s, s, s), string(asJSON)} {
		if strings.Contains(text, "AA") || strings.Contains(text, "65") || strings.Contains(text, "41") {
			t.Errorf("%s", text)
		}
	}
}
