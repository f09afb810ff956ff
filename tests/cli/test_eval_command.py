"""eval.py from scans to tables: what it measures, what it refuses, how it goes on after a stop."""

import doctest
import json
import re
import shutil
import subprocess
import sys
import time
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from eval_helpers import AFFINE, CROP, ROOT, make_scans, run_eval, spawn_eval, write_scan
from scipy import ndimage
from skimage.metrics import structural_similarity

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.evaluation.subjects import check_not_swapped
from mdcsrn_tf.files import this_host
from mdcsrn_tf.locks import only_run_in
from mdcsrn_tf.papers import TABLES
from mdcsrn_tf.scans import kspace
from mdcsrn_tf.scans.volumes import read_volume


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    return make_scans(tmp_path_factory.mktemp("hr"))


@pytest.fixture(scope="module")
def evaluated(scans, tmp_path_factory):
    output = tmp_path_factory.mktemp("out")
    done = spawn_eval(
        f"--hr={scans}",
        f"--output={output}",
        "--table=journal2",
        "--workers=2",
        "--metrics=psnr,ssim,nrmse,psnr3d,ssim3d,nrmse3d,piqe,niqe,ma,pi",
    )
    return done, output


def read(output, name="run.json"):
    return json.loads((output / name).read_text())


def test_the_numbers_are_those_of_numpy_and_scikit_image(evaluated):
    done, output = evaluated
    assert done.returncode == 0, done.stderr
    values = read(output)["results"]["values"]["bicubic"]
    degraded = kspace.degrade(CROP, (2, 2), (0, 1), "cubic")
    peak = CROP.max()
    slices = [k for k in range(CROP.shape[2]) if (CROP[:, :, k] > 0.05 * peak).mean() > 0.10]
    error = [np.mean((CROP[:, :, k].astype(float) - degraded[:, :, k]) ** 2) for k in slices]
    power = [np.mean(CROP[:, :, k].astype(float) ** 2) for k in slices]
    similarity = [
        structural_similarity(
            CROP[:, :, k].astype(float),
            degraded[:, :, k].astype(float),
            data_range=float(peak),
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        for k in slices
    ]
    found = {metric: by_subject["sub-00_T1w"] for metric, by_subject in values.items()}
    assert found["psnr"] == pytest.approx(np.mean(10 * np.log10(peak**2 / np.array(error))), abs=1e-5)
    assert found["nrmse"] == pytest.approx(np.mean(np.sqrt(error) / np.sqrt(power)), abs=1e-6)
    assert found["ssim"] == pytest.approx(np.mean(similarity), abs=1e-6)
    whole = np.mean((CROP.astype(float) - degraded) ** 2)
    assert found["psnr3d"] == pytest.approx(10 * np.log10(peak**2 / whole), abs=1e-5)


def test_zeroed_air_gains_in_the_papers_metrics_and_nothing_inside_the_head(tmp_path):
    wide = np.pad(CROP, [(16, 16), (16, 16), (0, 0)])
    write_scan(tmp_path / "hr" / "sub-00_T1w.nii.gz", wide)
    flags = [f"--hr={tmp_path / 'hr'}", f"--output={tmp_path / 'out'}", "--nofigures", "--quiet"]
    code, out, err = run_eval(*flags, "--metrics=psnr,ssim,nrmse,psnr_head,ssim_head,psnr3d_head,ssim3d_head")
    assert code == 0, err
    rows = {
        n: {m: c["mean"] for m, c in row.items() if isinstance(c, dict) and "mean" in c}
        for n, row in read(tmp_path / "out")["results"]["methods"].items()
    }
    sinc, dark = rows["sinc"], rows["sinc-dark"]
    assert dark["ssim"] > sinc["ssim"] + 0.05
    for metric, margin in (("psnr_head", 0.2), ("ssim_head", 0.01), ("psnr3d_head", 0.2), ("ssim3d_head", 0.01)):
        assert dark[metric] < sinc[metric] + margin / 10 and dark[metric] == pytest.approx(sinc[metric], abs=margin)
        assert rows["nn"][metric] < rows["linear"][metric] < sinc[metric]
    assert "SSIM head" in out


def test_detail_is_measured_in_the_removed_band(scans, tmp_path):
    """Half of what was removed, given back: -6 dB and a correlation of 1, by bands of k-space."""
    for path in sorted(scans.iterdir())[:1]:
        truth = nib.load(path).get_fdata().astype(np.float32)
        low = kspace.interpolate(kspace.truncate(truth, (2, 2), (0, 1)), truth.shape, (2, 2), (0, 1), "sinc")
        write_scan(tmp_path / "hr" / path.name, truth)
        write_scan(tmp_path / "sr" / path.name, low + 0.5 * (truth - low))
    flags = [f"--hr={tmp_path / 'hr'}", f"--sr=half={tmp_path / 'sr'}", "--baselines=sinc", "--nofigures", "--quiet"]
    code, _, err = run_eval(*flags, f"--output={tmp_path / 'out'}", "--metrics=band_db,band_corr")
    assert code == 0, err
    rows = read(tmp_path / "out")["results"]["methods"]
    assert rows["half"]["band_db"]["mean"] == pytest.approx(-6.02, abs=0.1)
    assert rows["half"]["band_corr"]["mean"] == pytest.approx(1.0, abs=0.01)
    assert rows["sinc"]["band_db"]["mean"] < -10
    bands = read(tmp_path / "out" / "subjects", "sub-00_T1w.json")["methods"]["half"]["bands"]
    assert bands["near_db"] == pytest.approx(-6.0, abs=0.2) and bands["far_corr"] == pytest.approx(1.0, abs=0.01)


def test_better_interpolations_are_better(evaluated):
    rows = read(evaluated[1])["results"]["methods"]
    means = {name: row["psnr"]["mean"] for name, row in rows.items() if "psnr" in row}
    assert means["nn"] < means["linear"] < means["bicubic"] < means["sinc"]


@pytest.mark.parametrize(
    ("flag", "sentence"),
    [
        ("--axes=LR,XX", "'XX' is no axis; name LR, AP or IS, or give an index 0, 1 or 2, as in LR,AP."),
        ("--plane=oblique", "--plane is auto, sagittal, coronal, axial or an axis 0, 1, 2, not 'oblique'."),
        ("--axes=LR,AP,IS", "--plane=auto does not work here: "),
        ("--models=fsrcnn4d", "There is no model fsrcnn4d: "),
    ],
)
def test_a_mistake_of_the_flags_is_told_once_and_leaves_no_folder(scans, tmp_path, flag, sentence):
    code, _, told = run_eval(f"--hr={scans}", f"--output={tmp_path}/out", flag)
    assert code == 1 and told.startswith(f"mdcsrn-eval: error: {sentence}") and told.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_papers_rows_stand_beside_ours(evaluated):
    done, output = evaluated
    table = read(output, "journal2.json")
    assert [row["published_as"] for row in table["rows"][: len(TABLES["journal2"].rows)]] == [
        row.method for row in TABLES["journal2"].rows
    ]
    bicubic = table["rows"][1]
    assert bicubic["ours_as"] == "bicubic" and bicubic["cells"]["psnr"]["published"] == 30.30
    assert bicubic["cells"]["psnr"]["difference"] == pytest.approx(bicubic["cells"]["psnr"]["ours"] - 30.30)
    assert "30.30 ± 0.82 →" in done.stdout and "not evaluated here" in done.stdout
    assert (output / "journal2.csv").read_text().startswith("paper_method,our_method,note,psnr_paper")


def test_empty_columns_say_why(evaluated):
    done, _ = evaluated
    assert "Ma's score needs its authors' release" in done.stdout
    assert "hold fewer than two blocks of 96 pixels" in done.stdout


def test_the_conventions_are_recorded(evaluated):
    record = read(evaluated[1])
    assert record["config"]["axes"] == "LR,AP" and record["config"]["conventions"] == ""
    report = (evaluated[1] / "report.html").read_text()
    assert "eight_bit_percentile" in report and "ssim_window" in report


def test_three_subjects_are_too_few_for_intervals(evaluated):
    done, output = evaluated
    assert read(output, "results.json")["paired"] == [] and "Paired" not in done.stdout
    assert "compared pair by pair from 6 subjects on; here are 3." in done.stdout


def test_figures_are_png_and_pdf(evaluated):
    names = {path.name for path in (evaluated[1] / "figures").iterdir()}
    for stem in ("sub-00_T1w_methods", "sub-00_T1w_errors", "spectra", "box_psnr", "box_ssim", "box_piqe"):
        assert {f"{stem}.png", f"{stem}.pdf"} <= names
    assert (evaluated[1] / "figures" / "spectra.png").read_bytes().startswith(b"\x89PNG")
    assert (evaluated[1] / "figures" / "spectra.pdf").read_bytes().startswith(b"%PDF")


def test_a_second_run_measures_nothing_anew(evaluated, scans, monkeypatch):
    _, output = evaluated
    before = {path: path.stat().st_mtime_ns for path in (output / "subjects").iterdir()}
    monkeypatch.setattr("mdcsrn_tf.evaluation.job.measure", None)  # would fail if it were called
    code, _, err = run_eval(
        f"--hr={scans}",
        f"--output={output}",
        "--table=journal2",
        "--nofigures",
        "--metrics=psnr,ssim,nrmse,psnr3d,ssim3d,nrmse3d,piqe,niqe,ma,pi",
    )
    assert code == 0, err
    assert {path: path.stat().st_mtime_ns for path in (output / "subjects").iterdir()} == before


def test_a_stopped_run_goes_on_where_it_was_and_ends_the_same(scans, tmp_path, monkeypatch):
    import mdcsrn_tf.evaluation.job as job

    flags = [f"--hr={scans}", "--baselines=nn,linear", "--nofigures", "--quiet"]
    assert run_eval(*flags, f"--output={tmp_path / 'whole'}")[0] == 0
    measure, calls = job.measure, []

    def stop_after_four(*arguments, **settings):
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return measure(*arguments, **settings)

    monkeypatch.setattr(job, "measure", stop_after_four)
    assert run_eval(*flags, f"--output={tmp_path / 'twice'}")[0] == 130
    monkeypatch.setattr(job, "measure", lambda *a, **s: (calls.append(1), measure(*a, **s))[1])
    assert run_eval(*flags, f"--output={tmp_path / 'twice'}")[0] == 0
    assert len(calls) == 5 + 9 - 4  # three rows (the original is one) of three subjects, four of them known
    assert read(tmp_path / "whole")["results"]["values"] == read(tmp_path / "twice")["results"]["values"]


def test_a_killed_run_goes_on_where_it_was(scans, tmp_path):
    flags = [f"--hr={scans}", "--baselines=nn,linear", "--nofigures", "--quiet"]
    run_eval(*flags, f"--output={tmp_path / 'whole'}")
    command = [sys.executable, str(ROOT / "eval.py"), *flags, f"--output={tmp_path / 'twice'}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not list((tmp_path / "twice").glob("subjects/*.json")):
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert run_eval(*flags, f"--output={tmp_path / 'twice'}")[0] == 0
    assert read(tmp_path / "whole")["results"]["values"] == read(tmp_path / "twice")["results"]["values"]


def test_a_run_whose_pictures_are_gone_makes_them_again_and_tidies_up(tmp_path):
    scans = make_scans(tmp_path / "hr", 1)
    flags = [f"--hr={scans}", f"--output={tmp_path / 'out'}", "--baselines=nn", "--quiet"]
    assert run_eval(*flags, "--nofigures")[0] == 0
    before = read(tmp_path / "out")["results"]["values"]
    shutil.rmtree(tmp_path / "out" / "pictures")
    for folder in ("", "subjects"):
        (tmp_path / "out" / folder / f".partial-{this_host()}-99999999-{'0' * 16}").mkdir()
    code, _, err = run_eval(*flags)
    assert code == 0, err
    assert read(tmp_path / "out")["results"]["values"] == before
    assert len(list((tmp_path / "out" / "pictures").rglob("*.npz"))) == 2
    assert not list((tmp_path / "out").rglob(".*"))


def test_two_runs_do_not_share_an_output_folder(scans, tmp_path):
    with only_run_in(tmp_path):
        code, _, err = run_eval(f"--hr={scans}", f"--output={tmp_path}", "--baselines=nn", "--nofigures", "--quiet")
    assert code == 1 and "Another run is working in" in err
    assert not list(tmp_path.iterdir())


def test_a_changed_scan_is_measured_anew(tmp_path):
    scans = make_scans(tmp_path / "hr", 1)
    flags = [f"--hr={scans}", f"--output={tmp_path / 'out'}", "--baselines=linear", "--nofigures", "--quiet"]
    run_eval(*flags)
    first = read(tmp_path / "out")["results"]["methods"]["linear"]["psnr"]["mean"]
    write_scan(scans / "sub-00_T1w.nii.gz", ndimage.gaussian_filter(CROP, 1), affine=None)
    for _ in range(2):  # the second time from the record
        assert "- sub-00_T1w, sub-00_T1w.nii.gz: its header does not say where it lies" in run_eval(*flags)[1]
    assert read(tmp_path / "out")["results"]["methods"]["linear"]["psnr"]["mean"] > first + 1


def test_a_changed_convention_is_measured_anew(scans, tmp_path):
    flags = [f"--hr={scans}", f"--output={tmp_path}", "--baselines=linear", "--nofigures", "--quiet"]
    run_eval(*flags)
    first = read(tmp_path)["results"]["methods"]["linear"]
    run_eval(*flags, "--conventions=nrmse=range,ssim_window=uniform")
    second = read(tmp_path)["results"]["methods"]["linear"]
    assert first["psnr"] == second["psnr"]
    assert first["nrmse"] != second["nrmse"] and first["ssim"] != second["ssim"]


def test_a_folder_of_results_and_itself_is_perfect(scans, tmp_path):
    flags = [f"--hr={scans}", f"--sr=same={scans}", "--baselines=", f"--output={tmp_path}", "--nofigures"]
    code, out, _ = run_eval(*flags, "--metrics=psnr,ssim,nrmse,psnr3d,ssim3d,nrmse3d")
    row = read(tmp_path)["results"]["methods"]["same"]
    assert code == 0 and row["psnr"]["mean"] == row["psnr3d"]["mean"] == "inf"
    assert row["ssim"]["mean"] == pytest.approx(1.0) and row["nrmse"]["mean"] == row["nrmse3d"]["mean"] == 0.0
    assert "inf: the images are identical." in out


def test_a_presets_folder_is_found_in_the_papers_table(scans, tmp_path):
    blurred = tmp_path / "sr"
    for path in sorted(scans.iterdir()):
        name = path.name.replace("_T1w", "_desc-sr_T1w")
        write_scan(blurred / name, ndimage.gaussian_filter(nib.load(path).get_fdata(), 0.5))
    folders = f"--sr=journal/b8u4k12={blurred},journal/b8u4k12-gan={blurred}"
    flags = [f"--hr={scans}", folders, "--baselines=nn", f"--output={tmp_path / 'out'}", "--nofigures"]
    code, _, err = run_eval(*flags, "--table=journal2", "--metrics=psnr,piqe")
    assert code == 0, err
    rows = {row["published_as"]: row["ours_as"] for row in read(tmp_path / "out", "journal2.json")["rows"]}
    assert rows["b8u4k12"] == "journal/b8u4k12" and rows["mDCSRN-GAN b8u4"] == "journal/b8u4k12-gan"


def test_a_cluster_gives_the_same(scans, tmp_path):
    import distributed

    flags = [f"--hr={scans}", "--baselines=linear", "--nofigures", "--quiet"]
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster:
        code, _, err = run_eval(*flags, f"--cluster={cluster.scheduler_address}", f"--output={tmp_path / 'far'}")
    assert code == 0, err
    run_eval(*flags, f"--output={tmp_path / 'near'}")
    assert read(tmp_path / "far")["results"]["values"] == read(tmp_path / "near")["results"]["values"]


# --- one bad subject among good ones: named, left out, exit code 1 -----------------------------------------------


def blank(data):
    return np.zeros_like(data)


BAD = {
    "missing": (None, AFFINE, "it has no scan in --sr sr."),
    "shape": (lambda data: data[1:], AFFINE, r".*sub-01_T1w.nii.gz has shape 79x96x16, but .* has 80x96x16"),
    "affine": (lambda data: data, np.diag([2.0, 1, 1, 1]), ".* have different affines"),
    "zeros": (blank, AFFINE, ".*sub-01_T1w.nii.gz has the value 0 in every voxel"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_subject_is_named_and_left_out(kind, scans, tmp_path):
    change, affine, reason = BAD[kind]
    sentence = f"sub-01_T1w is left out: {reason}"
    for path in sorted(scans.iterdir()):
        data = nib.load(path).get_fdata()
        if not path.name.startswith("sub-01"):
            write_scan(tmp_path / "sr" / path.name, data)
        elif change is not None:
            write_scan(tmp_path / "sr" / path.name, change(data), affine)
    flags = [f"--hr={scans}", f"--sr={tmp_path / 'sr'}", "--baselines=", f"--output={tmp_path / 'out'}", "--nofigures"]
    code, out, err = run_eval(*flags)
    assert code == 1 and "Traceback" not in err
    assert re.search(sentence, err) and re.search(sentence, out)
    record = read(tmp_path / "out")["results"]
    assert record["subjects"] == ["sub-00_T1w", "sub-02_T1w"]
    assert record["methods"]["sr"]["ssim"]["subjects"] == 2


def test_an_unreadable_scan_is_named(scans, tmp_path):
    folder = tmp_path / "hr"
    folder.mkdir()
    for path in scans.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "sub-01_T1w.nii.gz").write_bytes(b"torn")
    flags = ["--baselines=nn", "--nofigures", "--workers=2"]
    code, _, err = run_eval(f"--hr={folder}", f"--output={tmp_path / 'out'}", *flags)
    assert code == 1 and "sub-01_T1w is left out" in err and "Traceback" not in err


def test_a_killed_worker_costs_one_subject():
    from mdcsrn_tf.evaluation.workers import run_all

    found = dict(run_all(_die_on_two, [1, 2, 3], workers=2))
    assert found[1] == 1 and found[3] == 3 and isinstance(found[2], Exception)


def _die_on_two(task):
    import os

    if task == 2:
        os.kill(os.getpid(), 9)
    return task


# --- sentences ----------------------------------------------------------------------------------------------------


def test_swapped_folders_are_noticed(scans, tmp_path):
    for path in scans.iterdir():
        low = kspace.degrade(nib.load(path).get_fdata().astype(np.float32), (2, 2), (0, 1), "linear")
        write_scan(tmp_path / "lr" / path.name, low)
    flags = ["--baselines=", "--nofigures"]
    right = run_eval(f"--hr={scans}", f"--lr={tmp_path / 'lr'}", f"--output={tmp_path / 'a'}", *flags)
    assert right[0] == 0, right[2]
    code, _, err = run_eval(f"--hr={tmp_path / 'lr'}", f"--lr={scans}", f"--output={tmp_path / 'b'}", *flags)
    assert code == 1 and "--hr and --lr look swapped" in err


@pytest.mark.parametrize(
    ("method", "told"), [("linear", r"\d times the fine detail"), ("sinc", "by far more fine detail")]
)
def test_a_swapped_pair_is_told_apart_by_its_detail(scans, method, told):
    sharp = read_volume(sorted(scans.iterdir())[0])
    blurred = replace(sharp, data=kspace.degrade(sharp.data, (4, 4), (0, 1), method))
    check_not_swapped(sharp, blurred, (0, 1))
    with pytest.raises(UserError, match=told):
        check_not_swapped(blurred, sharp, (0, 1))


def test_low_resolution_scans_of_no_known_grid_are_named(scans, tmp_path):
    for path in scans.iterdir():
        write_scan(tmp_path / "lr" / path.name, nib.load(path).get_fdata()[::3])
    flags = ["--baselines=", "--nofigures", f"--output={tmp_path / 'out'}"]
    code, _, err = run_eval(f"--hr={scans}", f"--lr={tmp_path / 'lr'}", *flags)
    assert code == 1 and "neither that of" in err and "Traceback" not in err


def test_a_table_of_somebody_elses_is_not_replaced_even_beside_our_records(tmp_path):
    make_scans(tmp_path / "hr", 1)
    asked = [f"--hr={tmp_path}/hr", f"--output={tmp_path}/out", "--baselines=nn", "--nofigures"]
    assert run_eval(*asked)[0] == 0
    for name, text in (("journal1.md", "# FreeSurfer"), ("journal1.csv", "a,b"), ("journal1.json", '{"title": "x"}')):
        (tmp_path / "out" / name).write_text(text)
        code, _, said = run_eval(*asked, "--table=journal1")
        assert code == 1 and f"{name} is no evaluation's and would be replaced" in said
        assert (tmp_path / "out" / name).read_text() == text
        (tmp_path / "out" / name).unlink()
    for _ in range(2):  # the second time it is our own
        assert run_eval(*asked, "--table=journal1")[0] == 0


@pytest.mark.parametrize("name", ["run.json", "results.csv"])
def test_a_file_of_somebody_elses_is_not_replaced(tmp_path, name):
    make_scans(tmp_path / "hr", 1)
    (tmp_path / "out" / "subjects" / "bert" / "mri").mkdir(parents=True)  # FreeSurfer calls a folder so too
    (tmp_path / "out" / "subjects" / "bert.json").write_text('{"subject": "bert"}')
    (tmp_path / "out" / name).write_text("mine")
    code, _, said = run_eval(f"--hr={tmp_path}/hr", f"--output={tmp_path}/out", "--baselines=nn", "--nofigures")
    assert code == 1 and f"{name} is no evaluation's and would be replaced" in said
    assert (tmp_path / "out" / name).read_text() == "mine"


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--hr={scans}"], "Where to\\? Give a folder with --output"),
        (["--output={out}"], "Whose scans\\? Give --hr"),
        (["--hr={scans}", "--output={out}", "--baselines=spline"], "no baseline 'spline'; there are nn, linear"),
        (["--hr={scans}", "--output={out}", "--metrics=vif"], "no metric 'vif'"),
        (["--hr={scans}", "--output={out}", "--metrics=dice"], "Overlap needs a segmenter"),
        (["--hr={scans}", "--output={out}", "--metrics=jaccard"], "Overlap needs a segmenter"),
        (["--hr={scans}", "--output={out}", "--metrics=psnr", "--segmenter=builtin"], "--segmenter is for dice and"),
        (["--hr={scans}", "--output={out}", "--ma_command=ma {{in}}"], "--ma_command is for ma and pi: name them"),
        (["--hr={scans}", "--output={out}", "--niqe_model=none.mat"], "--niqe_model is for niqe and pi"),
        (["--hr={scans}", "--output={out}", "--plane=oblique"], "--plane is auto, sagittal"),
        (["--hr={scans}", "--output={out}", "--axes=LR,AP,IS"], "no most degraded plane"),
        (["--hr={scans}", "--output={out}", "--factor=two"], "--factor=two must give each of --axes=LR,AP a"),
        (["--hr={scans}", "--output={out}", "--factor=2,2,2"], "--factor=2,2,2 must give each of --axes=LR,AP"),
        (["--hr={scans}", "--output={out}", "--conventions=window=box"], "no 'window=box'; it takes name=value"),
        (["--hr={scans}", "--output={out}", "--conventions=nrmse=peak"], "nrmse is one of euclidean"),
        (["--hr={scans}", "--output={out}", "--conventions=seed=x"], "seed takes a number"),
        (["--hr={scans}", "--output={out}", "--niqe_model=none.mat", "--metrics=niqe"], "no NIQE model file none.mat"),
        (["--hr={scans}", "--output={out}", "--sr=a={scans},a={scans}"], "names 'a' twice"),
        (["--hr={scans}", "--output={out}", "--sr=nn={scans}"], "Two rows are called 'nn'; .*, a model's file as well"),
        (["--hr={scans}", "--output={out}", "--models=none.keras"], "none"),
        (["--hr=/nowhere", "--output={out}"], "/nowhere does not exist"),
        (["--lr={scans}", "--output={out}", "--metrics=psnr"], "Without --hr only piqe"),
        (["--lr={scans}", "--output={out}", "--metrics=psnr,piqe"], "Without --hr only piqe"),
        (["--hr={scans}", "--output={out}", "--table=journal4", "--metrics=psnr"], "For --table=journal4 only piqe"),
        (["--hr={scans}", "--output={out}", "--cluster=tcp://127.0.0.1:9"], "No Dask scheduler answers"),
        (["--table=journal9"], "journal9"),
    ],
)
def test_mistakes_get_a_sentence(flags, sentence, scans, tmp_path, monkeypatch):
    monkeypatch.setattr("mdcsrn_tf.evaluation.workers._CLUSTER_TIMEOUT", "1s")
    places = {"scans": scans, "out": tmp_path / "out"}
    code, _, err = run_eval(*(flag.format(**places) for flag in flags), "--nofigures", "--quiet")
    assert code == 1 and re.search(sentence, err), err
    assert "Traceback" not in err and len(err.strip().splitlines()) <= 4


# --- sub-commands -------------------------------------------------------------------------------------------------


def test_old_spellings_find_their_sub_command():
    from mdcsrn_tf.cli import eval as command

    assert doctest.testmod(command).failed == 0 and doctest.testmod(command).attempted == 3
    assert command.chosen(["--hr=a", "--table=journal2"]) == ("scans", ["--hr=a", "--table=journal2"])
    assert command.chosen(["--reference_labels=a", "--labels=b"])[0] == "labels"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["fit-niqe", "--output=model.npz"], "fit-niqe learns from pristine scans"),
        (["--fit_niqe=model.npz"], "fit-niqe learns from pristine scans"),
        (["fit-niqe", "--hr=nowhere", "--output=model.mat"], "written to an .npz file, not to model.mat"),
        (["labels", "--labels=a"], "give both --labels and --reference_labels"),
        (["scan", "--hr=a"], "no sub-command 'scan'; there are scans, tables, labels, fit-niqe, architectures"),
        (["tables", "--hr=a"], "Unknown command line flag 'hr'"),
    ],
)
def test_mistakes_with_sub_commands_get_a_sentence(arguments, sentence):
    code, _, err = run_eval(*arguments)
    assert code == 1 and sentence in err and len(err.strip().splitlines()) == 1


def test_tables_prints_every_published_number_without_scans():
    code, out, _ = run_eval("tables", "--table=journal2")
    assert code == 0 and "| Bicubic | 30.30 ± 0.82 | 0.8420 ± 0.0105 |" in out
    everything = run_eval("tables")[1]
    assert "| 0.308545M |" in everything
    assert "a peak of 255 on images that are z-scores" in everything and "divides Model 1's squared error" in everything
    assert all(TABLES[name].title in everything for name in ("miccai1", "journal4", "penn3"))


def test_help_shows_the_everyday_flags_first_in_groups():
    for arguments, most in ((["--help"], 25), (["labels", "--help"], 15), (["fit-niqe", "--help"], 15)):
        code, out, _ = run_eval(*arguments)
        assert code == 0 and out.count("\n  --") <= most
    out = run_eval("--help")[1]
    order = ("What is compared:", "  --hr", "How it was degraded", "  --conventions", "How it is run:")
    places = [out.index(text) for text in order]
    assert places == sorted(places)
