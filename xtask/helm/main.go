// Renders a chart with Helm's own engine, for the test that compares mesh-chart with it.
//
//	helm-render CHART <values.json
//
// Reads a JSON array of values from standard input and writes a JSON array of maps, template to text, in that order.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "helm-render:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 2 {
		return fmt.Errorf("usage: helm-render CHART <values.json")
	}
	chart, err := loader.Load(os.Args[1])
	if err != nil {
		return err
	}
	decoder := json.NewDecoder(os.Stdin)
	decoder.UseNumber()
	var sets []map[string]any
	if err := decoder.Decode(&sets); err != nil {
		return err
	}
	rendered := make([]map[string]string, 0, len(sets))
	for i, set := range sets {
		release := chartutil.ReleaseOptions{Name: "amime", Namespace: "amime-system", Revision: 1, IsInstall: true}
		values, err := chartutil.ToRenderValues(chart, set, release, chartutil.DefaultCapabilities)
		if err != nil {
			return fmt.Errorf("values %d: %w", i, err)
		}
		texts, err := engine.Render(chart, values)
		if err != nil {
			return fmt.Errorf("values %d: %w", i, err)
		}
		rendered = append(rendered, texts)
	}
	return json.NewEncoder(os.Stdout).Encode(rendered)
}
