package main

import (
	"slices"

	"github.com/alecthomas/kong"
)

// defaultConfig is where a configuration is looked for that -c does not name.
const defaultConfig = "/etc/sallyport/sallyport.toml"

// mostColumns is how wide help is written, however wide a terminal is.
const mostColumns = 80

// command is one that stands behind the name of the program.
type command struct {
	name, help string
	model      any      // the pointer to a struct that kong reads
	tags       []string // of kong
}

// commands is the whole grammar of the command line.
func commands() []command {
	return []command{
		{"quickstart", "Run a complete server on loopback, with two accounts to try.", &quickstartCommand{}, nil},
		{"init", "Write a first configuration, closed by default.", &initCommand{}, nil},
		{"check", "Check a configuration: whether it is valid, and closed to strangers.", &checkCommand{}, nil},
		{"serve", "Run the server.", &serveCommand{}, nil},
		{"reload", "Make the running server read its configuration again.", &reloadCommand{}, nil},
		{"status", "Show the state of server, accounts, queue and trace.", &statusCommand{}, nil},
		{"account", "Manage accounts: the people who receive and send mail.", &accountCommands{}, nil},
		{"mailbox", "Manage the mail of accounts: folders, indexes, import and export.", &mailboxCommands{}, nil},
		{"cert", "Manage the certificates with which people and programs sign in.", &certCommands{}, nil},
		{"domain", "Manage local domains, and print their DNS records.", &domainCommands{}, nil},
		{"alias", "Manage addresses that stand for others: aliases, groups, catch-alls.", &aliasCommands{}, nil},
		{"forward", "Manage accounts whose mail is forwarded to other servers.", &forwardCommands{}, nil},
		{"delegate", "Manage who may send as somebody else.", &delegateCommands{}, nil},
		{"binding", "Review who sends as what is not theirs, while sender binding only reports.", &bindingCommands{}, nil},
		{"import", "Migrate from another mail server.", &importCommands{}, nil},
		{"learn", "Teach the server whom people wrote to before they moved here.", &learnCommands{}, nil},
		{"sendmail", "Send mail as sendmail(1) does; also when run under that name.", &sendmailCommand{}, []string{`cmd:""`, `passthrough:""`}},
		{"checkpassword", "Authenticate users for a server beside this one, such as Dovecot, by the checkpassword protocol.", &checkPasswordCommand{}, nil},
		{"queue", "Manage the queue: the messages that wait to be delivered.", &queueCommands{}, nil},
		{"incident", "Manage contained accounts: why, what left, what is held, and what to do.", &incidentCommands{}, nil},
		{"screen", "Show who is kept out on port 25: by our own list, and by DNS blocklists.", &screenCommands{}, nil},
		{"damage", "Show what the disk has damaged, and what that cost.", &damageCommand{}, nil},
		{"callout", "What servers behind us said of recipients.", &calloutCommands{}, nil},
		{"dkim", "Manage the keys that sign mail, and their DNS records.", &dkimCommands{}, nil},
		{"dmarc", "Show who sends in our name, and the records that say who may.", &dmarcCommands{}, nil},
		{"trace", "Ask what happened, and why.", &traceCommand{}, nil},
		{"sessions", "Show who is signed in now, and from where.", &sessionsCommand{}, nil},
		{"drill", "Rehearse attacks on your configuration, and say which of the seven promises are kept.", &drillCommand{}, nil},
		{"backup", "Copy everything that the server keeps into one file, while it runs.", &backupCommand{}, nil},
		{"doctor", "Look at DNS, ports, certificate, clock, disk and files, and say what is wrong and what helps.", &doctorCommand{}, nil},
		{"audit", "Ask a mail server from outside whether it relays, and what else is wrong with it.", &auditCommand{}, nil},
		{"restore", "Make a server out of a backup, in a new folder.", &restoreCommand{}, nil},
		{"completion", "Write the completion of these commands for a shell.", &completionCommand{}, nil},
		{"manual", "Write the man pages into a folder.", &manualCommand{}, nil},
		{"version", "Print the version.", &versionCommand{}, nil},
		{"drill-stage", "Serve as what a drill kills.", &drillStageCommand{}, []string{`hidden:""`}},
		{"stand-in", "Act as the owner of the data folder for a command of root.", &standInCommand{}, []string{`hidden:""`}},
	}
}

// grammar is a parser of the commands, with whatever the program does with its help.
func grammar(all []command, options ...kong.Option) (*kong.Kong, error) {
	options = append(options,
		kong.Name("sallyport"),
		kong.Description("A mail server that cannot be hijacked."),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true, WrapUpperBound: mostColumns}),
		kong.Vars{"config": defaultConfig, "scenarios": scenarioNames()},
	)
	for _, c := range all {
		options = append(options, kong.DynamicCommand(c.name, c.help, "", c.model, c.tags...))
	}
	parser, err := kong.New(&struct{}{}, options...)
	if err != nil {
		return nil, err
	}
	fitExamples(parser.Model.Node)
	return parser, nil
}

// askedFor are the commands of which the grammar must be built to understand a command
// line: the one that it begins with, or all. Building all takes longer than most commands.
func askedFor(args []string) []command {
	all := commands()
	if i := slices.IndexFunc(all, func(c command) bool { return len(args) > 0 && c.name == args[0] }); i >= 0 {
		return all[i : i+1]
	}
	return all
}

// configFlag names the configuration.
type configFlag struct {
	Config string `short:"c" default:"${config}" env:"SALLYPORT_CONFIG" placeholder:"FILE" help:"The configuration (default: ${config})."`
}

// jsonFlag asks for JSON.
type jsonFlag struct {
	JSON bool `name:"json" help:"Print JSON, one object a line."`
}
