package config

// CheckPassword says which server beside us, such as Dovecot, has its users signed in here.
type CheckPassword struct {
	Socket string // where it asks; "": nowhere
	Group  HostGroup
	// Kick is the socket at which Dovecot ends sessions, and KickKeyFile has the key to it; "": it
	// is not told to.
	Kick, KickKeyFile string
}

func checkPasswordKeys() []entry[CheckPassword] {
	return []entry[CheckPassword]{
		parsed(Key{Path: "checkpassword.socket", Type: TypeSocket, Restart: "the programs that ask know the socket by its path", Min: "1", Max: "4096",
			Doc: "The UNIX socket at which `sallyport checkpassword` asks who signs in, such as " +
				"/run/sallyport/checkpassword.sock, where it looks by itself: " +
				"[Dovecot](guides/dovecot-signin.md). It belongs to the group of checkpassword.group and " +
				"has the mode 0660; its folder is made with mode 0755 where it is missing. Without it " +
				"nobody signs in elsewhere."},
			parsePath, func(c *CheckPassword) *string { return &c.Socket }),
		parsed(Key{Path: "checkpassword.group", Type: TypeText, Max: "256", Restart: "the socket belongs to the group that it was made for",
			Doc: "The group of this host whose members may ask whether somebody signs in, with which " +
				"password and from where, and do nothing else. They are believed in what they say of the " +
				"client: its address, by which guesses are counted, and that its connection is encrypted. " +
				"So nobody but the other mail server belongs to it, and the server's own user, since nobody " +
				"else can give it the socket."},
			parseHostGroup, func(c *CheckPassword) *HostGroup { return &c.Group }),
		parsed(Key{Path: "checkpassword.kick", Type: TypeSocket, Restart: "it is a part of the same arrangement", Min: "1", Max: "4096",
			Doc: "The UNIX socket at which Dovecot takes commands by HTTP, such as /run/dovecot/http: " +
				"whenever sessions of an account must end here, since it was frozen, contained or removed, " +
				"or a credential changed or revoked, Dovecot is told to end all that it has of the account. " +
				"Without it they go on there until they end by themselves."},
			parsePath, func(c *CheckPassword) *string { return &c.Kick }),
		parsed(Key{Path: "checkpassword.kick_key_file", Type: TypePath, Restart: "it is a part of the same arrangement", Min: "1", Max: "4096",
			Doc: "A file with the key to that socket, in one line: Dovecot's doveadm_api_key. Nobody but its " +
				"owner and its group may have access (mode 0600 or 0640)."},
			parsePath, func(c *CheckPassword) *string { return &c.KickKeyFile }),
	}
}

// checkCheckPassword wants a socket and a group, or neither, and both halves of what ends sessions.
func (s *source) checkCheckPassword(root *node) {
	socket, group := root.child("checkpassword", "socket"), root.child("checkpassword", "group")
	switch {
	case socket != nil && group == nil:
		s.faultAt(socket, "it is not said who may ask there", "add group: that of the other mail server")
	case group != nil && socket == nil:
		s.faultAt(group, "the other mail server has nowhere to ask", `add socket = "/run/sallyport/checkpassword.sock"`)
	}
	kick, key := root.child("checkpassword", "kick"), root.child("checkpassword", "kick_key_file")
	switch {
	case kick != nil && key == nil:
		s.faultAt(kick, "the key to this socket is missing", `add kick_key_file, a file with Dovecot's doveadm_api_key`)
	case key != nil && kick == nil:
		s.faultAt(key, "it is for checkpassword.kick, which is missing", `add kick = "/run/dovecot/http"`)
	case kick != nil && socket == nil:
		s.faultAt(kick, "nobody signs in there through us, so nobody's session is ended", "add socket and group")
	}
}

// checkCheckPasswordFiles looks at the key with which sessions are ended elsewhere.
func (s *source) checkCheckPasswordFiles(c *Config, root *node) {
	if n := root.child("checkpassword", "kick_key_file"); n != nil && c.CheckPassword.KickKeyFile != "" {
		if _, err := ReadPassword(c.CheckPassword.KickKeyFile); err != nil {
			s.faultAt(n, cause(err), secretHint(err, c.CheckPassword.KickKeyFile))
		}
	}
}
