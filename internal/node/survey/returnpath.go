package survey

import (
	"sallyport/internal/config"
	"sallyport/internal/node/settings"
	"sallyport/internal/operate"
	"sallyport/internal/returnpath"
)

// ReturnPath reads how far the signing of return paths has come; nil: none are signed.
func ReturnPath(cfg config.Config) (*operate.ReturnPath, error) {
	rules := settings.ReturnRules(cfg)
	if rules.Mode == returnpath.ModeOff {
		return nil, nil
	}
	var err error
	rules.Since, err = returnpath.NoteIn(cfg.KeysDir()).Read()
	return &operate.ReturnPath{Sign: cfg.ReturnPath.Sign.String(), Since: rules.Since, RefusesFrom: rules.RefusesFrom()}, err
}
