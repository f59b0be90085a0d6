# make app       open napari with the plugin on a sample; without a display, draw it into demo/
# make test      run all tests; without a display, on a virtual one
# make check     format, lint and types
# make audit     look up known weaknesses of what is installed; needs the internet
# make test-qt6  run the window tests on PyQt6, in an environment of their own
# make bench     measure speed against other ways to do the same; on a machine that does nothing else
# make bench-strokes DATA=FOLDER OUT=FOLDER [ARGS=...]
#                compare with a random forest on the same few strokes; minutes, hours with ARGS=" ", see benchmarks/strokes
#
# Each sets up what it needs first. PYTHON=... chooses the Python (3.11 or newer).

SCREEN = $(or $(DISPLAY),$(filter Darwin,$(shell uname)))
XVFB = $(if $(SCREEN),,$(shell command -v xvfb-run 2>/dev/null))
ON_SCREEN = $(if $(XVFB),$(XVFB) -a -s "-screen 0 1400x900x24")

.PHONY: app test check audit test-qt6 bench-strokes system system-qt6
.NOTPARALLEL:

app: HOW = $(if $(SCREEN),,$(if $(XVFB),--headless,--no-window) --out demo)
app: $(or $(wildcard .venv/dev.stamp),.venv/app.stamp)  # what the tests need holds what the app needs
	$(ON_SCREEN) .venv/bin/python -m napari_btunet.demo $(HOW)

test: WITHOUT = $(if $(SCREEN)$(XVFB),,$(info No display and no Xvfb: tests/gui is left out.)--ignore=tests/gui)
test: .venv/dev.stamp
	$(ON_SCREEN) .venv/bin/python -m pytest -n 2 --dist worksteal $(WITHOUT)

check: .venv/dev.stamp
	.venv/bin/python -m ruff check .
	.venv/bin/python -m ruff format --check .
	.venv/bin/python -m mypy

audit: .venv/dev.stamp  # --strict: what nobody could look up is no good news
	.venv/bin/python -m venv .venv-audit
	.venv-audit/bin/pip install --quiet pip-audit
	.venv/bin/python -m pip freeze --exclude-editable | sed 's/+.*//' > .venv-audit/used.txt
	.venv-audit/bin/pip-audit --strict --no-deps --disable-pip --requirement .venv-audit/used.txt

test-qt6: .venv-qt6/test.stamp
	QT_API=pyqt6 $(ON_SCREEN) .venv-qt6/bin/python -m pytest -o qt_api=pyqt6 tests/gui

SHORT = --arms forest logistic btunet-random --budgets 1x3 4x5 --efforts 10s --seeds 1 --test 6
ARGS = $(SHORT)
bench-strokes: .venv/bench.stamp
	$(if $(DATA),,$(error which image sets? make bench-strokes DATA=FOLDER OUT=FOLDER))
	$(if $(OUT),,$(error where to? make bench-strokes DATA=FOLDER OUT=FOLDER))
	PYTHONPATH=benchmarks .venv/bin/python -m strokes run $(DATA) $(OUT) $(ARGS)
	PYTHONPATH=benchmarks .venv/bin/python -m strokes report $(OUT)

bench: .venv/dev.stamp
	.venv/bin/python benchmarks/speed.py
	.venv/bin/python benchmarks/scaling.py
	$(ON_SCREEN) .venv/bin/python benchmarks/stalls.py

.venv/app.stamp: EXTRAS = app
.venv/dev.stamp: EXTRAS = app,dev
.venv/bench.stamp: EXTRAS = bench
.venv-qt6/test.stamp: EXTRAS = app-qt6,test
.venv/app.stamp .venv/dev.stamp: | system
.venv-qt6/test.stamp: | system-qt6

%.stamp: pyproject.toml constraints.txt
	.ci/venv $(@D) $(EXTRAS)
	touch $@

system:
	@.ci/system-packages

system-qt6:
	@.ci/system-packages libegl1 libxcb-cursor0
