package bench

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Sizes of a picture.
const (
	panelWidth  = 7 * vg.Centimeter
	panelHeight = 5.5 * vg.Centimeter
	legendWidth = 3.9 * vg.Centimeter
	titleHeight = 0.8 * vg.Centimeter
	gap         = 0.4 * vg.Centimeter
)

// maxPanels bounds the groups of one picture.
const maxPanels = 100

// A Picture is the plot of one unit: a panel for each group, a line for each
// value of the layout's Line.
type Picture struct {
	set    *Set
	unit   string
	lines  []string
	panels [][]*plot.Plot // by rows and columns; nil where there is no group
	log    bool           // the y axis is logarithmic, without lines that are nothing
}

// Picture plots unit, or returns nil where no line of any group would have two
// points.
func (s *Set) Picture(unit string) (*Picture, error) {
	var groups []*group
	for _, g := range s.groups() {
		if s.plottable(g, unit) && len(groups) < maxPanels {
			groups = append(groups, g)
		}
	}
	if len(groups) == 0 {
		return nil, nil
	}
	p := &Picture{set: s, unit: unit, lines: s.values(s.layout.Line)}
	if len(p.lines) == 0 {
		p.lines = []string{""}
	}
	p.log = s.logarithmic(p)
	for _, names := range arrange(groups) {
		row := make([]*plot.Plot, len(names))
		for i, g := range names {
			if g == nil {
				continue
			}
			var err error
			if row[i], err = p.panel(g); err != nil {
				return nil, fmt.Errorf("plot %s of %s: %w", unit, g.name, err)
			}
		}
		p.panels = append(p.panels, row)
	}
	return p, nil
}

// largest bounds what is drawn: of wilder figures axes take for ever to label.
const largest = 1e15

// drawn tells whether r has a figure of unit that can be drawn.
func (r *Row) drawn(unit string) bool {
	m, ok := r.Medians[unit]
	return ok && math.Abs(m.Lo) <= largest && math.Abs(m.Hi) <= largest &&
		(m.Center == 0 || math.Abs(m.Center) >= 1/largest)
}

// plottable tells whether a line of g has two points.
func (s *Set) plottable(g *group, unit string) bool {
	seen := map[string]int{}
	return slices.ContainsFunc(g.rows, func(r *Row) bool {
		if r.drawn(unit) && quantity(r.Value(s.layout.X)) > 0 {
			seen[r.Value(s.layout.Line)]++
		}
		return seen[r.Value(s.layout.Line)] > 1
	})
}

// logarithmic tells whether the figures of p are above 0, as a logarithmic axis
// wants them, but for those of lines that are nothing.
func (s *Set) logarithmic(p *Picture) bool {
	drawn := 0
	for _, r := range s.Rows {
		if !r.drawn(p.unit) || p.nothing(r.Value(s.layout.Line)) {
			continue
		}
		if r.Medians[p.unit].Lo <= 0 {
			return false
		}
		drawn++
	}
	return drawn > 0
}

// nothing tells whether line has no figure above a thousandth of the largest.
func (p *Picture) nothing(line string) bool {
	return p.most(line) <= p.most(p.lines...)/1000
}

// most is the largest figure of lines, of either sign.
func (p *Picture) most(lines ...string) float64 {
	most := 0.0
	for _, r := range p.set.Rows {
		if m := r.Medians[p.unit]; r.drawn(p.unit) && slices.Contains(lines, r.Value(p.set.layout.Line)) {
			most = max(most, math.Abs(m.Hi), math.Abs(m.Lo))
		}
	}
	return most
}

// arrange puts groups into rows: those that differ in nothing but their last
// key share one.
func arrange(groups []*group) [][]*group {
	var rows, columns []string
	split := func(g *group) (row, column string) {
		i := strings.LastIndexByte(g.name, ' ')
		return g.name[:max(i, 0)], g.name[i+1:]
	}
	for _, g := range groups {
		row, column := split(g)
		if !slices.Contains(rows, row) {
			rows = append(rows, row)
		}
		if !slices.Contains(columns, column) {
			columns = append(columns, column)
		}
	}
	grid := make([][]*group, len(rows))
	for i := range grid {
		grid[i] = make([]*group, len(columns))
	}
	for _, g := range groups {
		row, column := split(g)
		grid[slices.Index(rows, row)][slices.Index(columns, column)] = g
	}
	return grid
}

// panel plots g.
func (p *Picture) panel(g *group) (*plot.Plot, error) {
	panel := plot.New()
	panel.Title.Text = clean(g.name)
	panel.Title.TextStyle.Font.Size = vg.Points(9)
	panel.X.Scale, panel.X.Tick.Marker = plot.LogScale{}, p.ticks(g)
	panel.X.Tick.Label.Font.Size, panel.Y.Tick.Label.Font.Size = vg.Points(8), vg.Points(8)
	if p.log {
		panel.Y.Scale, panel.Y.Tick.Marker = plot.LogScale{}, plot.TickerFunc(oneTwoFive)
	}
	for i, line := range p.lines {
		points := p.points(g, line)
		if len(points.XYs) == 0 || p.log && p.nothing(line) {
			continue
		}
		curve, dots, err := plotter.NewLinePoints(points)
		if err != nil {
			return nil, err
		}
		errs, err := plotter.NewYErrorBars(points)
		if err != nil {
			return nil, err
		}
		look(i, curve, dots)
		errs.Color = curve.Color
		panel.Add(curve, dots, errs)
	}
	widen(&panel.X)
	if p.log {
		widen(&panel.Y)
	}
	return panel, nil
}

// look gives the i-th line a colour, a shape and, where the colours begin again,
// dashes.
func look(i int, curve *plotter.Line, dots *plotter.Scatter) {
	curve.Color, curve.Dashes = plotutil.Color(i), plotutil.Dashes(i/len(plotutil.DefaultColors))
	dots.Color, dots.Shape = curve.Color, plotutil.Shape(i)
}

// widen gives the ends of a logarithmic axis some room, where the library would
// begin one of a single value at that less 1.
func widen(a *plot.Axis) { a.Min, a.Max = a.Min/1.2, a.Max*1.2 }

// points are a line's medians and intervals.
type points struct {
	plotter.XYs
	plotter.YErrors
}

func (p *Picture) points(g *group, line string) points {
	var all points
	for _, row := range g.rows {
		m, x := row.Medians[p.unit], quantity(row.Value(p.set.layout.X))
		if !row.drawn(p.unit) || x == 0 || row.Value(p.set.layout.Line) != line {
			continue
		}
		all.XYs = append(all.XYs, plotter.XY{X: x, Y: m.Center})
		all.YErrors = append(all.YErrors, struct{ Low, High float64 }{m.Center - m.Lo, m.Hi - m.Center})
	}
	return all
}

// ticks are the values of the x axis as the names have them.
func (p *Picture) ticks(g *group) plot.ConstantTicks {
	var all []plot.Tick
	for _, row := range g.rows {
		label := row.Value(p.set.layout.X)
		if x := quantity(label); x > 0 && !slices.ContainsFunc(all, func(t plot.Tick) bool { return t.Value == x }) {
			all = append(all, plot.Tick{Value: x, Label: clean(label)})
		}
	}
	return all
}

// oneTwoFive are the ticks of a logarithmic axis: 1, 2, 5, 10, 20 …
func oneTwoFive(lo, hi float64) []plot.Tick {
	var all []plot.Tick
	for power := math.Floor(math.Log10(lo)); power <= math.Ceil(math.Log10(hi)); power++ {
		for _, digit := range []float64{1, 2, 5} {
			if v := digit * math.Pow(10, power); v >= lo && v <= hi {
				all = append(all, plot.Tick{Value: v, Label: fmt.Sprintf("%.4g", v)})
			}
		}
	}
	return all
}

// SVG writes the picture as SVG.
func (p *Picture) SVG(w io.Writer) error {
	width, height := p.size()
	canvas := vgsvg.New(width, height)
	p.draw(draw.New(canvas))
	_, err := canvas.WriteTo(w)
	return err
}

// PNG writes the picture as PNG.
func (p *Picture) PNG(w io.Writer) error {
	width, height := p.size()
	canvas := vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(110))}
	p.draw(draw.New(canvas))
	_, err := canvas.WriteTo(w)
	return err
}

func (p *Picture) size() (width, height vg.Length) {
	return panelWidth*vg.Length(len(p.panels[0])) + legendWidth, panelHeight*vg.Length(len(p.panels)) + titleHeight
}

// draw puts title and legend around the panels.
func (p *Picture) draw(c draw.Canvas) {
	tiles := draw.Tiles{Rows: len(p.panels), Cols: len(p.panels[0]), PadX: gap, PadY: gap}
	inner := draw.Crop(c, gap, -legendWidth, gap, -titleHeight)
	for i, row := range plot.Align(p.panels, tiles, inner) {
		for j, tile := range row {
			if p.panels[i][j] != nil {
				p.panels[i][j].Draw(tile)
			}
		}
	}
	title := plot.New().Title.TextStyle
	title.Font.Size, title.YAlign = vg.Points(12), draw.YTop
	c.FillText(title, vg.Point{X: inner.Center().X, Y: c.Max.Y - gap/2}, fmt.Sprintf("%s, by %s", clean(p.unit), clean(p.set.layout.X)))
	legend := p.legend()
	legend.Draw(draw.Crop(c, c.Size().X-legendWidth+gap, 0, 0, -titleHeight))
}

func (p *Picture) legend() *plot.Legend {
	l := plot.NewLegend()
	l.Top, l.Left = true, true
	l.TextStyle.Font.Size, l.Padding = vg.Points(9), vg.Points(3)
	for i, line := range p.lines {
		if line == "" {
			continue
		}
		curve, dots, err := plotter.NewLinePoints(plotter.XYs{{}})
		if err != nil {
			continue // of one point at 0, 0: it cannot fail
		}
		look(i, curve, dots)
		name := clean(line)
		if p.log && p.nothing(line) {
			name += fmt.Sprintf(" (%.2g)", p.most(line))
		}
		l.Add(name, curve, dots)
	}
	return &l
}
