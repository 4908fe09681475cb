package drill

import "testing"

// Only a field of the header marks a message.
func TestMarked(t *testing.T) {
	for head, want := range map[string]bool{
		"X-Sallyport-Junk: forged bounce\r\nFrom: a@b.test\r\n\r\nx": true,
		"Received: x\r\nX-Sallyport-Junk: y\r\n\r\n":                 true,
		"From: a@b.test\r\n\r\nX-Sallyport-Junk: in the text\r\n":    false,
		"From: a@b.test\r\nSubject: X-Sallyport-Junk: no\r\n\r\nx":   false,
		"": false,
	} {
		if got := marked([]byte(head)); got != want {
			t.Errorf("%q: %v", head, got)
		}
	}
}
