package main

import (
	"fmt"
	"net"
	"strings"

	"sallyport/internal/mail"
)

// welcome tells what runs where, and what to try; every command can be pasted.
func welcome(i quickstartInfo) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	mx, submission, submissions := i.Listen.MX[0], i.Listen.Submission[0], i.Listen.Submissions[0]
	alice, bob := i.Accounts[0], i.Accounts[1]
	quoted := mail.ShellWord

	p("sallyport serves %s on loopback.\n\n", i.Domain)
	p("  mx           %-16s the world: delivers to our own people, relays for nobody\n", mx)
	p("  submission   %-16s our people: STARTTLS, then sign in\n", submission)
	p("  submissions  %-16s our people: TLS from the first octet, then sign in\n", submissions)
	p("  imap, imaps  %s, %s   their mailboxes, by IMAP\n", i.Listen.IMAP[0], i.Listen.IMAPS[0])
	p("  pop3, pop3s  %s, %s   their mailboxes, by POP3\n\n", i.Listen.POP3[0], i.Listen.POP3S[0])
	for _, a := range i.Accounts {
		p("  %s   password %s\n      mailbox  %s\n", a.Address, a.Password, a.Maildir)
	}
	p("\n  configuration  %s\n  authority      %s (trust it to verify this server)\n", i.Config, i.CA)

	p("\nTry, in another terminal (apt-get install swaks, if it is missing):\n")
	p("\n  # A stranger writes to bob: accepted.\n")
	p("  swaks --server %s --from stranger@remote.test --to %s\n", mx, bob.Address)
	p("\n  # A stranger asks us to relay: refused, and so is a stranger who claims to be alice.\n")
	p("  swaks --server %s --from stranger@remote.test --to victim@elsewhere.test\n", mx)
	p("  swaks --server %s --from %s --to %s\n", mx, alice.Address, bob.Address)
	p("\n  # Alice signs in and writes to bob, over either door.\n")
	p("  swaks --server %s --tls --auth PLAIN --auth-user %s --auth-password %s --from %s --to %s\n",
		submission, alice.Address, alice.Password, alice.Address, bob.Address)
	p("  swaks --server %s --tls-on-connect --auth PLAIN --auth-user %s --auth-password %s --from %s --to %s\n",
		submissions, alice.Address, alice.Password, alice.Address, bob.Address)
	p("\n  # Alice signs in and claims to be bob: refused.\n")
	p("  swaks --server %s --tls --auth PLAIN --auth-user %s --auth-password %s --from %s --to %s\n",
		submission, alice.Address, alice.Password, bob.Address, alice.Address)
	p("\n  # By hand, with the certificate verified.\n")
	p("  openssl s_client -connect %s -starttls smtp -crlf -quiet -CAfile %s -verify_return_error -verify_hostname %s\n",
		submission, quoted(i.CA), hostToVerify(submission))
	reading(p, i)
	p("\n  # What happened to bob's mail, what waits, and an account stopped at once and let go again.\n")
	p("  %s trace %s -c %s\n", quoted(program()), bob.Address, quoted(i.Config))
	p("  %s queue ls -c %s\n", quoted(program()), quoted(i.Config))
	p("  %s account freeze %s -c %s\n", quoted(program()), alice.Address, quoted(i.Config))
	p("  %s account thaw %s -c %s\n", quoted(program()), alice.Address, quoted(i.Config))
	p("\nCtrl-C stops. What happens from here on:\n\n")
	return b.String()
}

// reading tells how mailboxes are read.
func reading(p func(string, ...any), i quickstartInfo) {
	bob := i.Accounts[1]
	ca, user := mail.ShellWord(i.CA), mail.ShellWord(bob.Address+":"+bob.Password)
	p("\n  # Bob reads: what is in his inbox, a letter by IMAP and one by POP3.\n")
	p("  curl -sS --cacert %s -u %s -X 'STATUS INBOX (MESSAGES UNSEEN)' imaps://%s\n", ca, user, i.Listen.IMAPS[0])
	p("  curl -sS --cacert %s -u %s 'imaps://%s/INBOX;MAILINDEX=1'\n", ca, user, i.Listen.IMAPS[0])
	p("  curl -sS --cacert %s -u %s pop3s://%s/1\n", ca, user, i.Listen.POP3S[0])
	p("\n  # Bob's mailbox in a mail program (apt-get install mutt).\n")
	p("  mutt -n -F /dev/null -e 'set ssl_ca_certificates_file=%s imap_user=%s imap_pass=%s header_cache=\"\" folder=imaps://%s' -f imaps://%s/INBOX\n",
		i.CA, bob.Address, bob.Password, i.Listen.IMAPS[0], i.Listen.IMAPS[0])
	p("\n  # By hand.\n")
	p("  openssl s_client -connect %s -starttls imap -crlf -quiet -CAfile %s -verify_return_error -verify_hostname %s\n",
		i.Listen.IMAP[0], ca, hostToVerify(i.Listen.IMAP[0]))
}

// hostToVerify is a name that the certificate has for an address on loopback.
func hostToVerify(addr string) string {
	if host, _, err := net.SplitHostPort(addr); err == nil && net.ParseIP(host) == nil {
		return host
	}
	return "localhost"
}
