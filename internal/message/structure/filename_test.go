package structure

// filename returns the name that a part is meant to be stored under, "" if it has none. RFC 2183 §2.3.
func filename(p Part) string {
	if p.Disposition != nil {
		if name := Value(p.Disposition.Params, "filename"); name != "" {
			return name
		}
	}
	return Value(p.Params, "name")
}
