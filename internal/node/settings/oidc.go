package settings

import (
	"sallyport/internal/config"
	"sallyport/internal/oidc"
)

// Provider is whose access tokens sign our people in; false: nobody's.
func Provider(cfg config.Config) (oidc.Provider, bool) {
	o := cfg.OIDC
	return oidc.Provider{
		Issuer: o.Issuer, CA: o.CA, Audience: o.Audience, Scope: o.Scope, ReadScope: o.ReadScope,
		Clients: o.Clients, Claim: o.Claim, Introspect: o.AskAs, SecretFile: o.AskSecretAt,
	}, o.Issuer != ""
}

// ProviderMeans is what its tokens are judged with.
func ProviderMeans(w World) oidc.Means {
	return oidc.Means{Limits: oidc.DefaultLimits(), Now: w.Now, Dial: w.Dial}
}
