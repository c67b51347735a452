package main

import (
	"fmt"
	"image/color"
	"io"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/millrace-go/millrace/benchmarks/internal/results"
	"github.com/millrace-go/millrace/internal/sealed"
)

// drawFigure draws both panels, one above the other, over the same dimensions.
func drawFigure(r *report, file string) error {
	const width, height = 20 * vg.Centimeter, 20 * vg.Centimeter
	times, err := r.times()
	if err != nil {
		return fmt.Errorf("drawing the figure: %w", err)
	}
	neighbours, err := r.neighbours()
	if err != nil {
		return fmt.Errorf("drawing the figure: %w", err)
	}
	c := vgsvg.New(width, height)
	panels := [][]*plot.Plot{{times}, {neighbours}}
	for i, canvas := range plot.Align(panels, draw.Tiles{Rows: 2, Cols: 1, PadY: vg.Centimeter, PadTop: vg.Millimeter * 3, PadRight: vg.Millimeter * 6, PadLeft: vg.Millimeter * 2, PadBottom: vg.Millimeter * 2}, draw.New(c)) {
		panels[i][0].Draw(canvas[0])
	}
	if err := sealed.WriteFile(file, func(w io.Writer) error { _, err := c.WriteTo(w); return err }); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

// times is the figure of the paper, with its own points.
func (r *report) times() (*plot.Plot, error) {
	p := r.panel(fmt.Sprintf("Time a question: %d rows of %s", r.count, r.what), "time, logarithmic")
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.ConstantTicks{
		{Value: 0.1, Label: "0.1 ms"}, {Value: 1, Label: "1 ms"}, {Value: 10, Label: "10 ms"}, {Value: 100, Label: "0.1 s"},
		{Value: 1e3, Label: "1 s"}, {Value: 1e4, Label: "10 s"}, {Value: 1e5, Label: "100 s"},
	}
	p.Y.Min, p.Y.Max = 0.01, 1e5
	p.Legend.XOffs = -vg.Millimeter * 4
	lines := map[string]struct {
		name  string
		color color.RGBA
	}{
		paper:     {"the paper's query, emulator", color.RGBA{200, 60, 30, 255}},
		ourQuery:  {"our query, emulator", color.RGBA{230, 160, 30, 255}},
		pgvector:  {"pgvector", color.RGBA{40, 130, 90, 255}},
		inProcess: {"in process", color.RGBA{40, 90, 170, 255}},
	}
	var published plotter.XYs
	for dim, seconds := range inPaper() {
		published = append(published, plotter.XY{X: float64(dim), Y: 1e3 * seconds})
	}
	points, err := plotter.NewScatter(published)
	if err != nil {
		return nil, err
	}
	points.GlyphStyle = draw.GlyphStyle{Color: color.Black, Radius: vg.Points(4), Shape: draw.CrossGlyph{}}
	p.Add(points)
	p.Legend.Add("the paper, BigQuery in 2019", points)
	for _, name := range systems() {
		l := lines[name]
		if err := r.line(p, l.name, l.color, func(s *size) float64 { return results.Summarize(s.ms[name]).Median }); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (r *report) neighbours() (*plot.Plot, error) {
	p := r.panel("True neighbours kept", "%")
	p.Y.Min, p.Y.Max = 0, 100
	p.Legend.Top, p.Legend.Left, p.Legend.XOffs = true, true, vg.Millimeter*4
	for _, l := range []struct {
		name  string
		color color.RGBA
		of    func(*size) float64
	}{
		{fmt.Sprintf("%d nearest", neighbours), color.RGBA{200, 60, 30, 255}, func(s *size) float64 { return 100 * s.recall }},
		{"nearest", color.RGBA{40, 90, 170, 255}, func(s *size) float64 { return 100 * s.first }},
	} {
		if err := r.line(p, l.name, l.color, l.of); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// panel is a plot over the dimensions, logarithmic.
func (r *report) panel(title, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, "dimensions, logarithmic", y
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, r.ticks()
	for _, style := range []*font.Font{&p.Title.TextStyle.Font, &p.X.Label.TextStyle.Font, &p.Y.Label.TextStyle.Font, &p.X.Tick.Label.Font, &p.Y.Tick.Label.Font, &p.Legend.TextStyle.Font} {
		style.Variant = "Sans"
	}
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = color.Gray{225}, color.Gray{225}
	p.Add(grid)
	p.X.Min, p.X.Max = 9, 800
	return p
}

func (r *report) ticks() plot.ConstantTicks {
	dims := []int{768}
	for _, c := range r.cases {
		if !slices.Contains(dims, c.dim) {
			dims = append(dims, c.dim)
		}
	}
	var ticks plot.ConstantTicks
	for _, d := range dims {
		ticks = append(ticks, plot.Tick{Value: float64(d), Label: strconv.Itoa(d)})
	}
	return ticks
}

func (r *report) line(p *plot.Plot, name string, c color.RGBA, of func(*size) float64) error {
	var xys plotter.XYs
	for _, s := range r.cases {
		xys = append(xys, plotter.XY{X: float64(s.dim), Y: of(s)})
	}
	line, points, err := plotter.NewLinePoints(xys)
	if err != nil {
		return err
	}
	line.Color, line.Width = c, vg.Points(1.5)
	points.Color, points.Shape, points.Radius = c, draw.CircleGlyph{}, vg.Points(2.5)
	p.Add(line, points)
	p.Legend.Add(name, line, points)
	return nil
}
