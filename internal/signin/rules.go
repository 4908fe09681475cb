package signin

// The rules that are named here, each with what it means; docs/rules.md has all of them.
const (
	// RuleSessionsPerAccount: the account has as many sessions as it may, to send and to read apart.
	RuleSessionsPerAccount = "sessions-per-account"
	// RuleSigninNetwork: the client lies in a network that signs in as the account, and gave a
	// sender of the account.
	RuleSigninNetwork = "signin-network"
	// RuleSigninUnasked: the account is known by the certificate of its client alone, without AUTH.
	RuleSigninUnasked = "signin-unasked"
)
