package survey

import (
	"fmt"
	"maps"
	"slices"

	"sallyport/internal/config"
	"sallyport/internal/directory"
	"sallyport/internal/directory/book"
	"sallyport/internal/mail"
)

// named is an account that a key of a configuration names, and what comes of it where there is none.
type named struct {
	key     string
	account mail.Address
	want    string
}

// accountsNamed are all accounts that a configuration names.
func accountsNamed(cfg config.Config) (all []named) {
	for _, n := range cfg.Networks {
		all = append(all, named{"network." + n.Name + ".account", n.Account, "no client of the network " + n.Name + " is taken for it"})
	}
	for _, user := range slices.Sorted(maps.Keys(cfg.Sendmail.Users)) {
		all = append(all, named{"sendmail.users." + user, cfg.Sendmail.Users[user], "the user " + user + " of this host sends nothing"})
	}
	return append(all,
		named{"tls_policy.report_account", cfg.TLSPolicy.ReportAccount, "no report about TLS leaves"},
		named{"dmarc_report.account", cfg.DMARCReport.Account, "no DMARC report leaves"})
}

// unable names what a configuration lets accounts do that cannot be, or are not there. Before there is any account
// nothing is said of one that is to be made.
func unable(cfg config.Config, judged book.Judged) (all []Risk) {
	for _, n := range accountsNamed(cfg) {
		if n.account.IsZero() {
			continue
		}
		r := Risk{At: cfg.At(n.key).String()}
		d, _ := judged.Snapshot.Domain(n.account.Domain())
		switch {
		case judged.Snapshot.CheckAccount(n.account) != nil:
			r.Text = fmt.Sprintf("%s is an alias, and never an account: %s", n.account, n.want)
			r.Hint = "name an account, or one to be made of an address that nothing has"
		case len(judged.Accounts) > 0 && !d.Unlisted && judged.Snapshot.Classify(n.account).Rule != directory.RuleAccount:
			r.Text = fmt.Sprintf("there is no account %s: %s", n.account, n.want)
			r.Hint = "make it (sallyport account add " + mail.ShellWord(n.account.String()) + "), or name another"
		default:
			continue
		}
		all = append(all, r)
	}
	return all
}
