# SPDX-License-Identifier: MIT
# bench/vs-qemu's awk program: floating point, printed to all its digits.
function bodies(steps,    n, i, j, s, dx, dy, d2, f, e) {
	n = 6
	for (i = 0; i < n; i++) {
		x[i] = cos(i * 1.1) * (i + 1); y[i] = sin(i * 1.1) * (i + 1)
		u[i] = -sin(i * 1.1) * 0.3; v[i] = cos(i * 1.1) * 0.3; m[i] = 1 / (i + 1)
	}
	for (s = 0; s < steps; s++) {
		for (i = 0; i < n; i++)
			for (j = 0; j < n; j++)
				if (i != j) {
					dx = x[j] - x[i]; dy = y[j] - y[i]
					d2 = dx * dx + dy * dy + 0.01
					f = m[j] / (d2 * sqrt(d2)) * 0.005
					u[i] += dx * f; v[i] += dy * f
				}
		for (i = 0; i < n; i++) { x[i] += u[i] * 0.005; y[i] += v[i] * 0.005 }
	}
	for (i = 0; i < n; i++) {
		printf "%.15g %.15g\n", x[i], y[i]
		e += 0.5 * m[i] * (u[i] * u[i] + v[i] * v[i])
	}
	printf "%.15g\n", e
}
function mandelbrot(w, h, limit,    i, j, k, a, b, t, p, q, line) {
	for (j = 0; j < h; j++) {
		line = ""
		for (i = 0; i < w; i++) {
			p = -2.1 + 2.9 * i / w; q = -1.2 + 2.4 * j / h; a = b = 0
			for (k = 0; k < limit && a * a + b * b < 4; k++) { t = a * a - b * b + p; b = 2 * a * b + q; a = t }
			line = line sprintf("%c", k == limit ? 35 : 46 + k % 10)
		}
		print line
	}
}
BEGIN {
	bodies(12000)
	mandelbrot(144, 80, 400)
	for (i = 1; i <= 200000; i++) { s += exp(-i / 5000) * sin(i / 7); l += log(i) / i }
	printf "%.15g %.15g\n", s, l
}
