package roll

// The rules that are named here, each with what it means; docs/rules.md has all of them.
const (
	// RuleDirectory: the whole list of its directory (LDAP) makes, changes, misses or shows again
	// an account.
	RuleDirectory = "directory"
	// RuleDirectoryAway: a directory gives no list, or one that is not taken in; the last good one stays.
	RuleDirectoryAway = "directory-away"
	// RuleDirectoryBack: it does again.
	RuleDirectoryBack = "directory-back"
)
