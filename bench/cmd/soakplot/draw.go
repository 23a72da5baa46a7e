package main

import (
	"errors"
	"image/color"
	"os"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

const (
	columns = 2
	rows    = 3
	width   = 24 * vg.Centimeter
	height  = 24 * vg.Centimeter
)

// drawSVG puts a panel for each figure into one SVG file.
func drawSVG(series map[key]plotter.XYs, to string) error {
	canvas := vgsvg.New(width, height)
	tiles := draw.Tiles{Cols: columns, Rows: rows, PadX: vg.Centimeter, PadY: vg.Centimeter, PadTop: vg.Centimeter / 2, PadLeft: vg.Centimeter / 2, PadRight: vg.Centimeter}
	page := draw.New(canvas)
	for i, f := range figures() {
		panel, err := panelOf(f, series)
		if err != nil {
			return err
		}
		panel.Draw(tiles.At(page, i%columns, i/columns))
	}
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = canvas.WriteTo(out)
	return errors.Join(err, out.Close())
}

func panelOf(f figure, series map[key]plotter.XYs) (*plot.Plot, error) {
	panel := plot.New()
	panel.Title.Text, panel.X.Label.Text = f.title, "minutes"
	panel.Y.Min = 0
	panel.Legend.Top, panel.Legend.Left = false, true
	panel.Add(plotter.NewGrid())
	for i, host := range hosts() {
		line, err := plotter.NewLine(series[key{f.column, host}])
		if err != nil {
			return nil, err
		}
		line.Color = []color.Color{color.RGBA{R: 0x1f, G: 0x5f, B: 0xbf, A: 0xff}, color.RGBA{R: 0xcf, G: 0x6f, B: 0x10, A: 0xff}}[i]
		panel.Add(line)
		panel.Legend.Add(host, line)
	}
	return panel, nil
}
