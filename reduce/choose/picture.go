package main

import (
	"fmt"
	"image/color"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/millrace-go/millrace/internal/sealed"
	"github.com/millrace-go/millrace/reduce/report"
)

// drawReport draws what each size keeps, .png or .svg.
func drawReport(r *report.Report, file string) error {
	p, legend, err := picture(r)
	if err != nil {
		return fmt.Errorf("drawing the report: %w", err)
	}
	const width, height = 24 * vg.Centimeter, 12 * vg.Centimeter
	var c vg.CanvasWriterTo = vgsvg.New(width, height)
	if strings.ToLower(filepath.Ext(file)) == ".png" {
		c = vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(144))}
	}
	// The legend is beside the lines: where they run depends on the vectors.
	all, beside := draw.NewCanvas(c, width, height), 5.5*vg.Centimeter
	p.Draw(draw.Crop(all, 0, -beside, 0, 0))
	legend.Draw(draw.Crop(all, width-beside+vg.Millimeter*4, 0, 0, -vg.Centimeter))
	save := func(w io.Writer) error { _, err := c.WriteTo(w); return err }
	if err := sealed.WriteFile(file, save); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

// picture has lines for what is kept, and thinner ones for what is lost and what
// exact answers cost, over the sizes on a logarithmic axis: each doubling costs as
// much as all before it.
func picture(r *report.Report) (*plot.Plot, *plot.Legend, error) {
	p := plot.New()
	p.Title.Text = fmt.Sprintf("What a PCA of %d values keeps, and costs (%d vectors, %d queries)", r.Dim, r.Vectors, r.Queries)
	p.Title.Padding = vg.Millimeter * 3
	p.X.Label.Text, p.Y.Label.Text = "components", "%"
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, sizeTicks(r)
	p.Y.Min, p.Y.Max = 0, 100
	p.Y.Tick.Marker = plot.ConstantTicks(percents())
	legend := plot.NewLegend()
	legend.Top, legend.Left, legend.Padding = true, true, vg.Millimeter
	for _, style := range []*font.Font{&p.Title.TextStyle.Font, &p.X.Label.TextStyle.Font, &p.Y.Label.TextStyle.Font, &p.X.Tick.Label.Font, &p.Y.Tick.Label.Font, &legend.TextStyle.Font} {
		style.Variant = "Sans"
	}
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = color.Gray{225}, color.Gray{225}
	p.Add(grid)
	const kept, lost = 1.5, 0.75 // widths
	for _, c := range []struct {
		name  string
		color color.RGBA
		width font.Length
		of    func(report.Size) float64
	}{
		{fmt.Sprintf("%d nearest kept", r.K), color.RGBA{200, 60, 30, 255}, kept, func(s report.Size) float64 { return s.Recall }},
		{"nearest kept", color.RGBA{230, 160, 30, 255}, kept, func(s report.Size) float64 { return s.First }},
		{"variance kept", color.RGBA{40, 90, 170, 255}, kept, func(s report.Size) float64 { return s.Variance }},
		{"reconstruction error", color.RGBA{120, 160, 220, 255}, lost, func(s report.Size) float64 { return s.RelativeError }},
		{"refined: p95", color.RGBA{150, 170, 120, 255}, lost, func(s report.Size) float64 { return s.Refined95 }},
		{"refined: median", color.RGBA{60, 130, 60, 255}, lost, func(s report.Size) float64 { return s.Refined }},
	} {
		xys := make(plotter.XYs, len(r.Sizes))
		for i, s := range r.Sizes {
			xys[i] = plotter.XY{X: float64(s.Components), Y: 100 * c.of(s)}
		}
		line, points, err := plotter.NewLinePoints(xys)
		if err != nil {
			return nil, nil, err
		}
		line.Color, line.Width = c.color, c.width
		points.Color, points.Shape, points.Radius = c.color, draw.CircleGlyph{}, vg.Points(1)+c.width
		p.Add(line, points)
		legend.Add(c.name, line, points)
	}
	return p, &legend, nil
}

// sizeTicks marks the sizes, and names those that have room.
func sizeTicks(r *report.Report) plot.ConstantTicks {
	var ticks plot.ConstantTicks
	const room = 1.2 // from one name to the next
	last := 0.0
	for i := len(r.Sizes) - 1; i >= 0; i-- { // the largest always has its name
		n := float64(r.Sizes[i].Components)
		t := plot.Tick{Value: n}
		if last == 0 || last/n >= room {
			t.Label, last = strconv.Itoa(r.Sizes[i].Components), n
		}
		ticks = append(ticks, t)
	}
	return ticks
}

func percents() (ticks []plot.Tick) {
	for y := 0; y <= 100; y += 10 {
		ticks = append(ticks, plot.Tick{Value: float64(y), Label: strconv.Itoa(y)})
	}
	return ticks
}
