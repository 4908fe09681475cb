package surroundings

import (
	"fmt"
	"log/slog"
	"time"

	"sallyport/internal/operate/doctor"
	"sallyport/internal/screen/geo"
)

// placesOld is how old a file of places may be: networks change hands every week, and the files
// are made anew as often.
const placesOld = 60 * 24 * time.Hour

// examinePlaces looks whether the files that say where addresses belong can be read, and how
// old they are.
func examinePlaces(paths []string, now time.Time) (found []doctor.Finding) {
	for _, p := range paths {
		f := doctor.Finding{Check: "screen", Subject: p, State: doctor.Fine}
		atlas, err := geo.Open([]string{p}, slog.New(slog.DiscardHandler))
		switch {
		case err != nil:
			f.State, f.What = doctor.Wrong, "it cannot be read: "+err.Error()
			f.Remedy = "get it anew; until then a running server uses the one that it read before, and none starts"
		default:
			built := atlas.Files()[0].Built
			f.What = fmt.Sprintf("%s, made on %s", atlas.Files()[0].Type, built.UTC().Format(time.DateOnly))
			if now.Sub(built) > placesOld {
				f.State = doctor.Warning
				f.What += fmt.Sprintf(", %d days ago: networks have changed hands since", int(now.Sub(built).Hours()/24))
				f.Remedy = "get it anew, and let a timer do so each week"
			}
		}
		found = append(found, f)
	}
	return found
}
