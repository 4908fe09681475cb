package main

// defaultConfig is where a configuration is looked for that -c does not name.
const defaultConfig = "/etc/sallyport/sallyport.toml"

// commands is the whole grammar of the command line.
type commands struct {
	Quickstart quickstartCommand `cmd:"" help:"Run a complete server on loopback, with two accounts to try."`
	Init       initCommand       `cmd:"" help:"Write a configuration to begin with, closed by default."`
	Check      checkCommand      `cmd:"" help:"Say whether a configuration is right."`
	Serve      serveCommand      `cmd:"" help:"Run the server."`
	Reload     reloadCommand     `cmd:"" help:"Make the running server read its configuration again."`
	Status     statusCommand     `cmd:"" help:"Show the state of server, accounts, queue and trace in figures."`
	Account    accountCommands   `cmd:"" help:"The people who receive and send."`
	Cert       certCommands      `cmd:"" help:"Certificates with which people and programs sign in."`
	Domain     domainCommands    `cmd:"" help:"The domains that are ours."`
	Alias      aliasCommands     `cmd:"" help:"Addresses that stand for others: aliases, groups, catch-alls."`
	Forward    forwardCommands   `cmd:"" help:"Accounts whose mail goes on to other servers."`
	Delegate   delegateCommands  `cmd:"" help:"Who may send as somebody else."`
	Import     importCommands    `cmd:"" help:"Move in from another mail server."`
	Learn      learnCommands     `cmd:"" help:"Teach the server whom people wrote to before they came here."`
	Sendmail   sendmailCommand   `cmd:"" passthrough:"" help:"Send mail as sendmail(1) does; also when run under that name."`
	Queue      queueCommands     `cmd:"" help:"What waits to be delivered."`
	Incident   incidentCommands  `cmd:"" help:"Accounts that were contained: why, what left, what is held, and what to do."`
	Callout    calloutCommands   `cmd:"" help:"What servers behind us said of recipients."`
	DKIM       dkimCommands      `cmd:"" name:"dkim" help:"The keys that sign mail, and their DNS records."`
	DMARC      dmarcCommands     `cmd:"" name:"dmarc" help:"Who sends in our name, and the records that say who may."`
	Trace      traceCommand      `cmd:"" help:"Ask what happened, and why."`
	Sessions   sessionsCommand   `cmd:"" help:"Who is signed in now, and from where."`
	Backup     backupCommand     `cmd:"" help:"Copy everything that the server keeps into one file, while it runs."`
	Doctor     doctorCommand     `cmd:"" help:"Look at DNS, ports, certificate, clock, disk and files, and say what is wrong and what helps."`
	Restore    restoreCommand    `cmd:"" help:"Make a server out of a backup, in a new folder."`
	Completion completionCommand `cmd:"" help:"Write what a shell needs to complete these command lines."`
	Manual     manualCommand     `cmd:"" help:"Write the man pages into a folder."`
	Version    versionCommand    `cmd:"" help:"Print the version."`
	StandIn    standInCommand    `cmd:"" hidden:"" help:"Act as the owner of the data folder for a command of root."`
}

// configFlag names the configuration.
type configFlag struct {
	Config string `short:"c" default:"${config}" env:"SALLYPORT_CONFIG" placeholder:"FILE" help:"The configuration (default: ${config})."`
}

// jsonFlag asks for JSON.
type jsonFlag struct {
	JSON bool `name:"json" help:"Print JSON, one object a line."`
}
