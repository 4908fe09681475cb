package surroundings

import (
	"context"

	"sallyport/internal/config"
	"sallyport/internal/ldap"
	"sallyport/internal/ldap/roll"
	"sallyport/internal/node/settings"
	"sallyport/internal/operate/doctor"
)

// doctorDirectories looks at each server of the directories; reports are what the running server
// has of them. Files that cannot be read are told of by the check of the configuration.
func doctorDirectories(ctx context.Context, cfg config.Config, reports []roll.Report, known bool) (all []doctor.DirectoryFacts) {
	sources, _ := settings.Directories(cfg)
	for _, s := range sources {
		d, err := ldap.New(s.Options)
		if err != nil {
			continue
		}
		for i, seen := range d.Look(ctx) {
			f := doctor.DirectoryFacts{Name: s.Name, Server: seen.Server, Failed: string(seen.Failed), Found: seen.Found, Policy: seen.Policy, Pages: seen.Pages,
				Clear: s.Options.Servers[i].Security == ldap.SecurityNone}
			if seen.Err != nil {
				f.Error = seen.Err.Error()
			}
			for _, r := range reports {
				if i == 0 && r.Name == s.Name {
					f.Known, f.Listed, f.Fault, f.Disputed, f.Doubtful = known, r.Listed, r.Fault, r.Disputed, r.Doubtful
				}
			}
			all = append(all, f)
		}
		d.Close()
	}
	return all
}
