package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"sallyport/internal/config"
	"sallyport/internal/directory"
	"sallyport/internal/directory/book"
	"sallyport/internal/kit/words"
	"sallyport/internal/node/survey"
	"sallyport/internal/operate"
)

type checkCommand struct {
	configFlag
	jsonFlag
	Explain string `placeholder:"TRANSACTION" help:"Walk one imagined transaction through every rule, and say why it would be accepted or refused: 'client=192.0.2.7 auth=alice@example.org from=alice@example.org to=bob@example.net'. Only from and to must be there; auth=none signs nobody in; door is mx, submission or sendmail; by is password, certificate or token."`
}

// Help says what is checked.
func (checkCommand) Help() string {
	return `Checks syntax and meaning: every key known and in its bounds, names and addresses parsed,
aliases without circles, routes that lead elsewhere, files present and secrets closed to others.
Then whether it goes together with what the data folder holds: accounts, and the domains,
aliases, forwards and delegates that were added with commands.

Then it proves that all of this together is closed: the server's own classification and decisions
are run over one representative of every kind of recipient, sender and session. It says how many
those were, or names the witness: who could send from what to whom, and by which rule.

It warns of what is closed and has cost others dearly: mail that forwards send out, addresses that
take everything, wide networks, mail in clear text; each with its line, or the command that made it.

With --explain it walks one imagined transaction instead, and tells for each step what decides
it, where that was configured, and what would change a no. Nothing is sent, and nobody asked.

Examples:
  sallyport check -c /etc/sallyport/sallyport.toml
  sallyport check -c new.toml --json                one fault a line, or how much was tried
  sallyport check --explain 'from=x@example.net to=bob@example.org'
  sallyport check --explain 'client=192.0.2.7 auth=alice@example.org from=alice@example.org to=bob@example.net'`
}

// Run checks the configuration.
func (k checkCommand) Run(ctx context.Context, c console) error {
	cfg, err := config.Load(k.Config)
	var faults config.Faults
	if errors.As(err, &faults) && k.JSON {
		for _, f := range faults {
			if err := printJSON(c.out, f); err != nil {
				return err
			}
		}
		return errSilent
	}
	if err != nil {
		return err
	}
	if k.Explain != "" {
		return k.explain(ctx, c, cfg)
	}
	judged, err := k.stored(ctx, c, cfg)
	if err != nil {
		return err
	}
	tried := judged.Proof
	risks, err := survey.Risks(cfg, judged)
	if err != nil {
		return err
	}
	returnPath, err := survey.ReturnPath(cfg)
	if err != nil {
		return err
	}
	warning := survey.CertificateWarning(cfg, time.Now())
	binding := survey.BindingWarning(cfg)
	if k.JSON {
		return printJSON(c.out, closedJSON{
			Binding: binding, File: k.Config, Closed: true, Addresses: tried.Addresses,
			Classes: tried.Classes, ReturnPath: returnPath, Warning: warning, Risks: risks,
		})
	}
	if warning != "" {
		fmt.Fprintf(c.err, "sallyport: warning: %s\n", cfg.Fault("tls.cert", warning, "").Error())
	}
	if binding != "" {
		fmt.Fprintf(c.err, "sallyport: warning: %s\n", cfg.Fault("submission.sender_binding", binding, "").Error())
	}
	tellRisks(c, risks)
	c.prose("%s: syntax and meaning: fine (%s, %s, %s)\n", k.Config,
		words.Count(len(cfg.Domains), "domain"), words.Count(len(cfg.Aliases), "alias"), words.Count(len(cfg.Routes), "route"))
	c.prose("%s: closed: of %d kinds of recipients, each with every kind of sender and session (%d in all), none is relayed to for anybody who did not sign in\n",
		k.Config, tried.Addresses, tried.Classes)
	if returnPath != nil {
		c.prose("%s: return paths %s\n", k.Config, returnPath.Words(time.Now()))
	}
	return nil
}

// closedJSON is what is printed of a configuration that is right.
type closedJSON struct {
	File      string `json:"file"`
	Closed    bool   `json:"closed"`
	Addresses int    `json:"addresses"` // kinds of recipients
	Classes   int    `json:"classes"`   // with every kind of sender and session
	// ReturnPath is how far the signing of return paths has come; nil: none are signed.
	ReturnPath *operate.ReturnPath `json:"return_path,omitempty"`
	Warning    string              `json:"warning,omitempty"` // about the certificate
	Binding    string              `json:"binding,omitempty"` // a warning about how senders are bound
	Risks      []survey.Risk       `json:"risks,omitempty"`   // what is closed and yet worth knowing
}

// risksShown is how many risks are printed one by one; --json has all.
const risksShown = 50

// tellRisks prints what is closed and yet worth knowing.
func tellRisks(c console, all []survey.Risk) {
	for _, r := range all[:min(len(all), risksShown)] {
		fmt.Fprintf(c.err, "sallyport: warning: %s: %s; %s\n", r.At, r.Text, c.again(r.Hint))
	}
	if n := len(all) - risksShown; n > 0 {
		fmt.Fprintf(c.err, "sallyport: warning: and %s; --json names all\n", words.Count(n, "more warning"))
	}
}

// stored checks a configuration beside what its data folder holds, if anything, and
// proves both together closed.
func (k checkCommand) stored(ctx context.Context, c console, cfg config.Config) (judged book.Judged, err error) {
	err = k.beside(ctx, c, cfg, func(stored *operate.Client) (err error) {
		judged, err = survey.Directory(ctx, cfg, stored)
		return err
	})
	return judged, err
}

// beside runs check with what the data folder of a configuration holds, or with nil, and
// prints the faults that it finds.
func (k checkCommand) beside(ctx context.Context, c console, cfg config.Config, check func(stored *operate.Client) error) error {
	var err error
	switch _, statErr := os.Stat(cfg.StoreDir()); {
	case errors.Is(statErr, fs.ErrNotExist):
		err = check(nil)
	case statErr != nil:
		if errors.Is(statErr, fs.ErrPermission) {
			statErr = fmt.Errorf("%w; run this as root or as the server's user", statErr)
		}
		return fmt.Errorf("what the data folder holds cannot be checked: %w", statErr)
	default:
		err = k.operate(ctx, c, check)
	}
	var faults directory.Faults
	if !errors.As(err, &faults) {
		return err
	}
	for _, f := range faults {
		fault := config.Fault{Position: config.Position{File: k.Config}, Message: f.Text}
		if !k.JSON {
			fmt.Fprintln(c.err, fault.Error())
		} else if err := printJSON(c.out, fault); err != nil {
			return err
		}
	}
	return errSilent
}
