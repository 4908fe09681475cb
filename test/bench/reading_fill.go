package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// linksAtMost is how many names one file gets in a folder that is about names.
const linksAtMost = 1000

// fill makes a folder with so many messages of about so many octets, that have been seen by a
// program. With shared, a thousand names stand for one file, since it is names that are counted.
func (m mailboxes) fill(name string, messages, octets int, shared bool) error {
	dir := filepath.Join(m.maildir, name)
	for _, sub := range []string{"tmp", "new", "cur"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return err
		}
	}
	if name != "" {
		if err := os.WriteFile(filepath.Join(dir, "maildirfolder"), nil, 0o600); err != nil {
			return err
		}
	}
	last := ""
	for i := range messages {
		at := 1_700_000_000 + i
		path := filepath.Join(dir, "cur",
			fmt.Sprintf("%d.M%dP%dQ%d.mx.local.test:2,%s", at, i%1000000, 4242, i, []string{"", "S", "RS", "FS"}[i%4]))
		if shared && i%linksAtMost != 0 {
			if err := os.Link(last, path); err != nil {
				return err
			}
			continue
		}
		if err := os.WriteFile(path, example(i, octets), 0o600); err != nil {
			return err
		}
		when := time.Unix(int64(at), 0)
		if err := os.Chtimes(path, when, when); err != nil {
			return err
		}
		last = path
	}
	return m.own(m.maildir)
}

// words are what messages are made of.
var words = strings.Fields("the of and a to in is you that it he was for on are as with his they at be this have from or one had by word but not what all were we when your can said there use an each which she do how their if will up other about out many then them these so some her would make like him into time has look two more write go see number no way could people my than first water been call who oil its now find long down day did get come made may part over new sound take only little work know place year live me back give most very after thing our just name good sentence man think say great where help through much before line right too mean old any same tell boy follow came want show also around form three small set put end does another well large must big even such because turn here why ask went men read need land different home us move try kind hand picture again change off play spell air away animal house point page letter mother answer found study still learn should")

// example writes message number i, with about so many octets, lines ended by LF.
func example(i, octets int) []byte {
	r := rand.New(rand.NewPCG(7, uint64(i)))
	phrase := func(n int) string {
		var out []string
		for range n {
			out = append(out, words[r.IntN(len(words))])
		}
		return strings.Join(out, " ")
	}
	person := func() string {
		n := r.IntN(500)
		return fmt.Sprintf("\"%s %s\" <person%d@example%d.test>", words[n%len(words)], words[n*7%len(words)], n, n%17)
	}
	var b strings.Builder
	fmt.Fprintf(&b,
		"Return-Path: <person@example.test>\nReceived: from relay.example.test (relay.example.test [192.0.2.7])\n\tby mx.local.test with ESMTPS id %08x\n\tfor <alice@local.test>; %s\n",
		i, time.Unix(int64(1_700_000_000+i), 0).UTC().Format(time.RFC1123Z))
	fmt.Fprintf(&b,
		"From: %s\nTo: %s, %s\nSubject: %s\nDate: %s\nMessage-ID: <%08x.%d@example.test>\nIn-Reply-To: <%08x.%d@example.test>\n",
		person(), person(), person(), phrase(7),
		time.Unix(int64(1_700_000_000+i), 0).UTC().Format(time.RFC1123Z), i, i, i/2, i/2)
	fmt.Fprintf(&b,
		"X-Mailer: Program %d\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n",
		i%9)
	for b.Len() < octets {
		b.WriteString(phrase(11) + "\n")
	}
	if i%100 == 42 {
		b.WriteString("a needle in a haystack\n")
	}
	return []byte(b.String())
}
