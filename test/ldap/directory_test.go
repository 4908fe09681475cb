package ldap

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/kit/pki"
	"sallyport/internal/ldap"
	"sallyport/internal/ldap/terms"
	"sallyport/internal/mail"
	"sallyport/test/slapd"
)

const (
	right = slapd.Password
	wrong = "not the one at all"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func address(text string) mail.Address { return must(mail.ParseAddress(text, mail.UTF8)) }

func dnOf(uid string) terms.DN { return must(terms.ParseDN("uid=" + uid + "," + slapd.People)) }

// options are those of a directory of s, by StartTLS.
func options(t *testing.T, s *slapd.Server) ldap.Options {
	t.Helper()
	roots, _, err := pki.Authorities(s.CA)
	if err != nil {
		t.Fatal(err)
	}
	return ldap.Options{
		Servers: []ldap.Server{{Host: "127.0.0.1", Port: uint16(s.Port), Security: ldap.SecurityStart}}, CA: roots,
		User: must(terms.ParseDN(slapd.Reader)), Password: slapd.ReaderSecret,
		Base: must(terms.ParseDN(slapd.People)), Filter: must(terms.ParseFilter("(objectClass=inetOrgPerson)")),
		Domains: []mail.Domain{must(mail.ParseDomain("local.test")), must(mail.ParseDomain("xn--bcher-kva.test"))},
		Address: "mail", Aliases: []terms.Attribute{"description"}, Group: "memberOf", Groups: []string{slapd.GroupDN("senders")}, Entry: "entryUUID",
		Limits: ldap.Limits{Timeout: 2 * time.Second},
	}
}

func open(t *testing.T, o ldap.Options) *ldap.Directory {
	t.Helper()
	d, err := ldap.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

func word(t *testing.T, d *ldap.Directory, uid, password string) ldap.Answer {
	t.Helper()
	a, err := d.CheckPassword(t.Context(), dnOf(uid), password)
	if err != nil {
		t.Fatalf("%s: %v", uid, err)
	}
	return a
}

func TestPeopleAndPasswords(t *testing.T) {
	t.Parallel()
	s := slapd.Start(t, slapd.Options{Entries: slapd.Person("alice", "mail: Alice@Local.Test", "description: smtp:al@local.test", "description: SIP:al@local.test", "description: al@elsewhere.test") +
		slapd.Person("bob", "mail: bob@local.test", "mail: bob@private.test") +
		slapd.Person("carol", "mail: carol@local.test", "mail: caroline@local.test") +
		slapd.Person("dave", "mail: same@local.test") + slapd.Person("erin", "mail: same@local.test") +
		slapd.Person("frank") + slapd.Person("greta", "mail: greta@xn--bcher-kva.test", "description: al@local.test.")})
	s.Add(slapd.Group("senders", "alice"))
	for name, change := range map[string]func(*ldap.Options){
		"StartTLS": func(*ldap.Options) {},
		"ldaps":    func(o *ldap.Options) { o.Servers[0].Port, o.Servers[0].Security = uint16(s.TLSPort), ldap.SecurityTLS },
		"clear":    func(o *ldap.Options) { o.Servers[0].Security = ldap.SecurityNone },
	} {
		t.Run(name, func(t *testing.T) {
			o := options(t, s)
			change(&o)
			d := open(t, o)
			alice, err := d.Find(t.Context(), address("ALICE@local.test"))
			if err != nil || alice.Address.String() != "Alice@local.test" || len(alice.Aliases) != 1 || alice.Aliases[0].String() != "al@local.test" ||
				!slices.Equal(alice.Groups, o.Groups) || len(alice.Entry) != 36 {
				t.Fatalf("%+v, %v", alice, err)
			}
			for range 3 { // a wrong password leaves the connection
				if a, err := d.CheckPassword(t.Context(), alice.DN, right); err != nil || a.Word != ldap.WordRight || a.Grace != -1 {
					t.Errorf("%+v, %v", a, err)
				}
				if a := word(t, d, "alice", wrong); a.Word != ldap.WordWrong {
					t.Errorf("%+v", a)
				}
			}
			if a := word(t, d, "nobody", right); a.Word != ldap.WordWrong {
				t.Errorf("a name that is nobody's: %+v", a)
			}
			for text, want := range map[string]error{"nobody@local.test": ldap.ErrNobody, "same@local.test": ldap.ErrSeveral, "*@local.test": ldap.ErrNobody, "ali*@local.test": ldap.ErrNobody,
				"alice)(uid=*@local.test": ldap.ErrNobody, "\"alice)(mail=*\"@local.test": ldap.ErrNobody} {
				a, err := mail.ParseAddress(text, mail.UTF8)
				if err != nil {
					continue
				}
				if p, err := d.Find(t.Context(), a); !errors.Is(err, want) {
					t.Errorf("%s: %+v, %v", text, p, err)
				}
			}
			if p, err := d.Find(t.Context(), address("greta@bücher.test")); err != nil || p.Address.String() != "greta@xn--bcher-kva.test" {
				t.Errorf("%+v, %v", p, err)
			}
			if _, err := d.Find(t.Context(), address("carol@local.test")); err == nil || errors.Is(err, ldap.ErrNobody) {
				t.Errorf("two addresses of ours: %v", err)
			}
			l, err := d.List(t.Context())
			if err != nil || len(l.People) != 3 || len(l.Doubtful) != 3 || l.Doubtful["same@local.test"] == "" || l.Nameless != 0 {
				t.Errorf("%+v, %v", l, err)
			}
			r, err := d.Recipients(t.Context(), o.Domains)
			if err != nil || len(r) != 7 {
				t.Errorf("%v, %v", r, err)
			}
		})
	}
}

// Whoever the certificate is not good for is told nothing: no name, no password.
func TestTLSIsChecked(t *testing.T) {
	t.Parallel()
	s := slapd.Start(t, slapd.Options{Entries: slapd.Person("alice", "mail: alice@local.test")})
	for name, change := range map[string]func(*ldap.Options){
		"another authority": func(o *ldap.Options) { o.CA = nil },
		"another name":      func(o *ldap.Options) { o.Servers[0].Host = "localhost" },
	} {
		for _, security := range []ldap.Security{ldap.SecurityStart, ldap.SecurityTLS} {
			o := options(t, s)
			if o.Servers[0].Security = security; security == ldap.SecurityTLS {
				o.Servers[0].Port = uint16(s.TLSPort)
			}
			change(&o)
			d := open(t, o)
			var f *ldap.Failure
			if _, err := d.Find(t.Context(), address("alice@local.test")); !errors.As(err, &f) || f.Step != ldap.StepTLS {
				t.Errorf("%s: a search: %v", name, err)
			}
			if a, err := d.CheckPassword(t.Context(), dnOf("alice"), right); !errors.As(err, &f) || f.Step != ldap.StepTLS || a.Word != ldap.WordNone {
				t.Errorf("%s: a password: %v %v", name, a, err)
			}
		}
	}
}

// A server that asks for TLS, or whose searcher's password is wrong, tells nothing of people.
func TestOnlyResult49IsAWrongPassword(t *testing.T) {
	t.Parallel()
	s := slapd.Start(t, slapd.Options{Global: "security simple_bind=128", Entries: slapd.Person("alice", "mail: alice@local.test")})
	o := options(t, s)
	o.Servers[0].Security = ldap.SecurityNone
	d := open(t, o)
	var f *ldap.Failure
	if a, err := d.CheckPassword(t.Context(), dnOf("alice"), right); !errors.As(err, &f) || f.Code != 13 || a.Word != ldap.WordNone {
		t.Errorf("%v, %v", a, err) // confidentialityRequired
	}
	o = options(t, s)
	o.Password = wrong
	d = open(t, o)
	if _, err := d.Find(t.Context(), address("alice@local.test")); !errors.As(err, &f) || f.Step != ldap.StepBind || f.Code != 49 || errors.Is(err, ldap.ErrNobody) {
		t.Errorf("%v", err)
	}
	if a := word(t, d, "alice", right); a.Word != ldap.WordRight {
		t.Errorf("%+v", a)
	}
}

func TestPasswordPolicy(t *testing.T) {
	t.Parallel()
	for _, told := range []bool{false, true} {
		s := slapd.Start(t, slapd.Options{Lockout: told, Policy: "pwdMaxAge: 2000000\npwdMustChange: TRUE\npwdGraceAuthNLimit: 2\npwdLockout: TRUE\npwdMaxFailure: 3",
			Entries: slapd.Person("alice") + slapd.Person("reset") + slapd.Person("old", "pwdChangedTime: 20200101000000Z") + slapd.Person("locked")})
		s.Set("uid=reset,"+slapd.People, "pwdReset", "TRUE")
		d := open(t, options(t, s))
		if a := word(t, d, "alice", right); a.Word != ldap.WordRight || a.Grace != -1 {
			t.Errorf("%+v", a)
		}
		if a := word(t, d, "reset", right); a.Word != ldap.WordMustChange {
			t.Errorf("%+v", a)
		}
		if a := word(t, d, "reset", wrong); a.Word != ldap.WordWrong {
			t.Errorf("%+v", a)
		}
		for _, grace := range []int{1, 0} {
			if a := word(t, d, "old", right); a.Word != ldap.WordRight || a.Grace != grace {
				t.Errorf("grace %d: %+v", grace, a)
			}
		}
		if a := word(t, d, "old", wrong); a.Word != ldap.WordWrong {
			t.Errorf("%+v", a)
		}
		if a := word(t, d, "old", right); a.Word != ldap.WordExpired {
			t.Errorf("%+v", a)
		}
		for range 3 {
			word(t, d, "locked", wrong)
		}
		// slapd stamps a lock by one clock and asks another whether it has begun, which is behind
		// by up to a tick: in the first milliseconds of a second the lock is not there yet.
		time.Sleep(50 * time.Millisecond)
		want := ldap.WordWrong // with an empty text, and nothing that tells it from a wrong one
		if told {
			want = ldap.WordLocked
		}
		if a := word(t, d, "locked", right); a.Word != want {
			t.Errorf("told %v: %+v", told, a)
		}
	}
}

// A list is whole or there is none, whatever limits the directory has.
func TestAListIsWholeOrThereIsNone(t *testing.T) {
	t.Parallel()
	var people strings.Builder
	for n := range 1200 {
		people.WriteString(slapd.Person(fmt.Sprint("p", n), fmt.Sprintf("mail: p%d@local.test", n)))
	}
	s := slapd.Start(t, slapd.Options{
		Limits:  "limits dn.exact=\"cn=reader,dc=local,dc=test\" size.soft=unlimited size.hard=unlimited size.prtotal=unlimited",
		Entries: people.String(),
	})
	o := options(t, s)
	d := open(t, o)
	if l, err := d.List(t.Context()); err != nil || len(l.People) != 1200 {
		t.Fatalf("%d, %v", len(l.People), err)
	}
	o.Limits.Entries = 1100
	if l, err := open(t, o).List(t.Context()); !errors.Is(err, ldap.ErrTooMany) || l.People != nil {
		t.Errorf("%d, %v", len(l.People), err)
	}
	o.Limits.Entries, o.Limits.PageOctets = 0, 20_000
	if l, err := open(t, o).List(t.Context()); err == nil || l.People != nil || !strings.Contains(err.Error(), "octets") {
		t.Errorf("%d, %v", len(l.People), err)
	}
	// slapd's own limit of 500 comes with its entries and result 4, with pages too.
	s = slapd.Start(t, slapd.Options{Entries: people.String()})
	var f *ldap.Failure
	if l, err := open(t, options(t, s)).List(t.Context()); !errors.As(err, &f) || f.Code != 4 || l.People != nil {
		t.Errorf("%d, %v", len(l.People), err)
	}
}

// Stopped or frozen, a directory says nothing of a password, in bounded time; and is asked
// again when it is back.
func TestADirectoryThatIsAway(t *testing.T) {
	t.Parallel()
	s := slapd.Start(t, slapd.Options{Entries: slapd.Person("alice", "mail: alice@local.test")})
	o := options(t, s)
	o.Limits.Timeout, o.Limits.Connections, o.Limits.Waiting = time.Second, 2, 2
	d := open(t, o)
	whole := func() {
		t.Helper()
		if p, err := d.Find(t.Context(), address("alice@local.test")); err != nil {
			t.Error(p, err)
		}
		if a := word(t, d, "alice", right); a.Word != ldap.WordRight {
			t.Errorf("%+v", a)
		}
	}
	nothing := func(asked string) {
		t.Helper()
		began := time.Now()
		errs := make(chan error, 16)
		for range 8 {
			go func() {
				a, err := d.CheckPassword(context.Background(), dnOf("alice"), right)
				if a.Word != ldap.WordNone {
					err = nil
				}
				errs <- err
			}()
			go func() {
				_, err := d.Find(context.Background(), address("alice@local.test"))
				if errors.Is(err, ldap.ErrNobody) {
					err = nil
				}
				errs <- err
			}()
		}
		for range 16 {
			if err := <-errs; err == nil {
				t.Errorf("%s: it told something", asked)
			}
		}
		if l, err := d.List(t.Context()); err == nil {
			t.Errorf("%s: %+v", asked, l)
		}
		if took := time.Since(began); took > 8*time.Second {
			t.Errorf("%s: it took %v", asked, took)
		}
	}
	whole()
	s.Freeze()
	nothing("frozen")
	s.Thaw()
	whole()
	s.Stop()
	nothing("stopped")
	s.Run()
	whole()
}
