// Runs of one prompt under many edits: wherever they start and however they are batched, they end
// as if each had run alone from its first token.
#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/inspect/intervene.h"
#include "model/inspect/sweep.h"
#include "tests/inspect/edit_testing.h"
#include "tests/inspect/trace_testing.h"
#include "tests/transformer/model_testing.h"

namespace heed {
namespace {

using testing::HasSubstr;

// Beyond the original context of the model that rotates by length.
constexpr int64_t kTokens = 20;

// Counts what a model is asked to run.
class CountingModel : public LanguageModel {
 public:
  explicit CountingModel(const LanguageModel* model) : model_(*model) {}
  const ModelConfig& config() const override { return model_.config(); }
  int64_t parameter_count() const override { return model_.parameter_count(); }
  int64_t weight_bytes() const override { return model_.weight_bytes(); }
  std::string compute_dtype() const override { return model_.compute_dtype(); }
  const std::vector<std::string>& notes() const override { return model_.notes(); }
  const ModelParts& parts() const override { return model_.parts(); }
  std::unique_ptr<Workspace> NewWorkspace() const override { return model_.NewWorkspace(); }
  absl::Status Forward(absl::Span<SequenceSlice> batch, MatrixRef logits,
                       Workspace* workspace) const override {
    ++calls;
    for (const SequenceSlice& slice : batch) {
      layer_rows +=
          static_cast<int64_t>(slice.tokens.size()) * (config().n_layers - slice.first_layer);
    }
    return model_.Forward(batch, logits, workspace);
  }

  mutable int64_t calls = 0;
  mutable int64_t layer_rows = 0;  // rows times layers

 private:
  const LanguageModel& model_;
};

// A model, its pool, and a base run of it.
class Bench {
 public:
  explicit Bench(const std::string& name)
      : model_(LoadGolden(name, DefaultBackend())),
        counting(model_.get()),
        pool(KvLayout::For(config()), 64 * PagesFor(kTokens)),
        workspace(model_->NewWorkspace()) {}

  const ModelConfig& config() const { return model_->config(); }

  std::vector<TokenId> Tokens(int step = 37) const {
    std::vector<TokenId> ids;
    for (int64_t i = 0; i < kTokens; ++i) {
      ids.push_back(static_cast<TokenId>((5 + i * step) % config().vocab_size));
    }
    return ids;
  }

  std::shared_ptr<const Trace> Base(const std::vector<Intervention>& edits = {},
                                    SiteSet sites = {Site::kResidual}, int step = 37) const {
    auto set = InterventionSet::Create(edits, config(), {kTokens});
    EXPECT_TRUE(set.ok()) << set.status();
    return TraceOf(*model_, Tokens(step), sites, *set);
  }

  // The logits of every position, [kTokens, vocab_size], of a run of its own.
  std::vector<float> Logits(const std::vector<Intervention>& edits, int step = 37) const {
    auto set = InterventionSet::Create(edits, config(), {kTokens});
    EXPECT_TRUE(set.ok()) << set.status();
    return Runner(model_.get(), nullptr, set->get()).Append(Tokens(step));
  }

  EditedRuns Runs(std::shared_ptr<const Trace> base, std::vector<Metric> metrics,
                  EditedRunsOptions options = {}, const StopSignal* stop = nullptr) {
    auto reader = MetricReader::Create(metrics, base->tokens(), config());
    EXPECT_TRUE(reader.ok()) << reader.status();
    return EditedRuns(&counting, &pool, std::move(base), *std::move(reader), stop, options);
  }

 private:
  const std::unique_ptr<const LanguageModel> model_;

 public:
  CountingModel counting;
  KvPool pool;
  const std::unique_ptr<Workspace> workspace;
};

class KeepingSink : public CellSink {
 public:
  void OnLogits(int64_t cell, int64_t position, absl::Span<const float> row) override {
    EXPECT_EQ(cells.count(cell), 0u);
    logits[{cell, position}].assign(row.begin(), row.end());
  }
  void OnCell(int64_t cell, const CellResult& result) override {
    EXPECT_TRUE(cells.emplace(cell, result).second) << cell << " came twice";
  }

  std::map<int64_t, CellResult> cells;
  std::map<std::pair<int64_t, int64_t>, std::vector<float>> logits;
};

// Sets that begin at every layer, and at the first, a middle and the last position.
std::vector<std::vector<Intervention>> ManySets(const ModelConfig& config) {
  const std::vector<float> ones(config.width, 1.0f);
  std::vector<std::vector<Intervention>> sets = {{}, {Edit(ScaleScores{1})}};
  for (int layer = config.n_layers - 1; layer >= 0; --layer) {
    for (int64_t from : {int64_t{0}, int64_t{6}, kTokens - 1}) {
      sets.push_back({Edit(ScaleScores{3}, {layer}, {0}, {{from}})});
      sets.push_back({Edit(AddVector{Site::kResidual, ones, 0.5}, {layer}, {}, {{from}})});
      sets.push_back({Edit(ScaleSite{Site::kMixed, 0}, {layer}, {-1}, {{from}}),
                      Edit(KnockOut{}, {-1}, {}, {{from}}, {{0, 1}})});
    }
    sets.push_back({Edit(MeanSite{}, {layer}, {0})});
    sets.push_back({Edit(ReplaceMask{.causal = !config.causal}, {layer})});
  }
  sets.push_back({Edit(ScaleSite{Site::kResidual, 0.5}, {-1})});
  // Of rows before those that are read.
  sets.push_back({Edit(MeanSite{Site::kMlpOut}, {-1}, {}, {{6, 12}})});
  // Keys that a causal row sees under another mask only.
  sets.push_back({Edit(KnockOut{}, {0}, {}, {{2, 5}}, {{-3, -1}})});
  sets.push_back({Edit(ReplaceMask{config.causal}, {0}, {1}, {{4, 9}})});
  return sets;
}

std::vector<Intervention> Both(std::vector<Intervention> first,
                               const std::vector<Intervention>& then) {
  first.insert(first.end(), then.begin(), then.end());
  return first;
}

std::vector<float> RowsOf(ConstMatrixRef rows) {
  std::vector<float> all;
  for (int64_t r = 0; r < rows.rows; ++r) {
    all.insert(all.end(), rows.Row(r).begin(), rows.Row(r).end());
  }
  return all;
}

// Every set's logits have the bits of a whole run of its own.
void ExpectTheBitsOfWholeRuns(Bench& bench, const std::vector<Intervention>& base_edits,
                              SiteSet sites, EditedRunsOptions options) {
  const ModelConfig& config = bench.config();
  const auto sets = ManySets(config);
  const std::vector<Metric> metrics = {{.kind = Metric::Kind::kLogit, .position = -1},
                                       {.kind = Metric::Kind::kKlFromBase, .position = 7}};
  const auto base = bench.Base(base_edits, sites);
  EditedRuns runs = bench.Runs(base, metrics, options);
  KeepingSink sink;
  ASSERT_TRUE(runs.ReadBase(&sink).ok());
  std::vector<EditedCell> cells;
  for (const auto& set : sets) {
    const auto cell = MakeCell(*base, set, config);
    ASSERT_TRUE(cell.ok()) << cell.status();
    cells.push_back(*cell);
  }
  ASSERT_TRUE(runs.RunAll(cells, bench.workspace.get(), sink).ok());
  ASSERT_EQ(sink.cells.size(), sets.size());
  for (size_t i = 0; i < sets.size(); ++i) {
    const std::vector<float> whole = bench.Logits(Both(base_edits, sets[i]));
    for (int64_t position : {int64_t{7}, kTokens - 1}) {
      const float* want = whole.data() + position * config.vocab_size;
      ASSERT_EQ((sink.logits[{i, position}]), std::vector<float>(want, want + config.vocab_size))
          << "set " << i << ", position " << position;
    }
    EXPECT_EQ(sink.cells[i].counterfactual_mask, cells[i]->counterfactual_mask());
  }
  // So does all else that a trace of the run keeps, which shares what comes before its start.
  for (size_t i = 0; i < sets.size(); ++i) {
    const auto trace = runs.RunTraced(cells[i], bench.workspace.get());
    ASSERT_TRUE(trace.ok()) << trace.status();
    const auto whole = bench.Base(Both(base_edits, sets[i]), {});
    const int start = runs.StartOf(cells[i]).layer;
    for (int layer = 0; layer <= config.n_layers; ++layer) {
      for (Site site : {Site::kQuery, Site::kKey, Site::kValue, Site::kResidual}) {
        if (!whole->Has(site, layer)) continue;
        const ConstMatrixRef rows = (*trace)->SiteRows(site, layer);
        ASSERT_EQ(RowsOf(rows), RowsOf(whole->SiteRows(site, layer)))
            << "set " << i << ", " << SiteName(site) << " " << layer;
        const bool shares = rows.Row(0).data() == base->SiteRows(site, layer).Row(0).data();
        EXPECT_EQ(shares, layer < start || !cells[i]->differs());
      }
    }
    EXPECT_EQ((*trace)->editor(), cells[i]->differs() ? cells[i].get() : base->editor());
  }
  for (int i : {0, 1}) {  // nothing was edited
    EXPECT_EQ(sink.cells[i].values, runs.base_values());
    EXPECT_EQ(sink.cells[i].deltas, (std::vector<double>{0, 0}));
    EXPECT_EQ(sink.cells[i].values[1], 0);
  }
}

TEST(EditedRunsTest, StartingLateGivesTheBitsOfWholeRuns) {
  for (const char* name : {"gpt2-f32", "llama-gqa-f32", "bert-f32", "neox-f16", "gemma2-f32",
                           "bloom-f16", "modernbert-f16", "rope-dynamic-f16"}) {
    SCOPED_TRACE(name);
    Bench bench(name);
    ExpectTheBitsOfWholeRuns(bench, {}, {Site::kResidual}, {});
  }
}

TEST(EditedRunsTest, SoItIsOverAnEditedBaseAndWithoutItsStreamAndInSmallBatches) {
  for (const char* name : {"llama-gqa-f32", "bert-f32"}) {
    SCOPED_TRACE(name);
    Bench bench(name);
    const std::vector<Intervention> base = {
        Edit(AddVector{Site::kResidual, std::vector<float>(bench.config().width, 0.25f)}, {1}),
        Edit(ScaleScores{0.5}, {0}), Edit(ScaleSite{Site::kResidual, 1.5}, {-1})};
    ExpectTheBitsOfWholeRuns(bench, base, {Site::kResidual}, {});
    ExpectTheBitsOfWholeRuns(bench, base, {}, {});
    ExpectTheBitsOfWholeRuns(bench, {Edit(ReplaceMask{!bench.config().causal}, {0})},
                             {Site::kResidual}, {});
    ExpectTheBitsOfWholeRuns(bench, {Edit(MeanSite{}, {1}, {0})}, {Site::kResidual}, {});
    ExpectTheBitsOfWholeRuns(bench, {}, {Site::kResidual}, {.max_batch_tokens = 1});
  }
}

// What was generated rotates by another length than a prompt of as many tokens.
TEST(EditedRunsTest, AGenerationKeepsTheLengthOfItsPrompt) {
  Bench bench("rope-dynamic-f16");
  const std::vector<TokenId> ids = bench.Tokens();
  const auto run = [&](ForwardObserver* observer, ForwardEditor* editor) {
    Runner runner(&bench.counting, observer, editor);
    runner.set_prompt_tokens(8);
    return runner.Append(ids);
  };
  auto recorder = TraceRecorder::Create(bench.config(), {Site::kResidual}, kTokens);
  run(recorder->get(), nullptr);
  const auto base = (*recorder)->Finish(ids, nullptr, /*prompt_tokens=*/8);
  EditedRuns runs = bench.Runs(base, {Metric()});
  ASSERT_TRUE(runs.ReadBase().ok());
  const auto cell = MakeCell(*base, {Edit(ScaleScores{3}, {1}, {}, {{10}})}, bench.config());
  KeepingSink sink;
  ASSERT_TRUE(runs.RunAll({*cell}, bench.workspace.get(), sink).ok());
  const std::vector<float> whole = run(nullptr, cell->get());
  EXPECT_NE(whole, bench.Logits({Edit(ScaleScores{3}, {1}, {}, {{10}})}));
  EXPECT_EQ((sink.logits[{0, kTokens - 1}]),
            std::vector<float>(whole.end() - bench.config().vocab_size, whole.end()));
}

TEST(EditedRunsTest, ManyCellsRunTogetherAndOnlyWhatTheyChange) {
  Bench bench("llama-gqa-f32");  // 3 layers
  const auto base = bench.Base();
  EditedRuns runs = bench.Runs(base, {Metric()}, {.max_batch_tokens = 4 * kTokens});
  ASSERT_TRUE(runs.ReadBase().ok());
  std::vector<EditedCell> cells;
  for (int head : {0, 1, 2, 3}) {
    cells.push_back(
        *MakeCell(*base, {Edit(ScaleSite{Site::kMixed, 0}, {2}, {head})}, bench.config()));
  }
  KeepingSink sink;
  ASSERT_TRUE(runs.RunAll(cells, bench.workspace.get(), sink).ok());
  EXPECT_EQ(bench.counting.calls, 1);
  EXPECT_EQ(bench.counting.layer_rows, 4 * kTokens);  // one layer each
  cells = {*MakeCell(*base, {Edit(ScaleScores{2}, {1}, {}, {{-3}})}, bench.config())};
  ASSERT_EQ(runs.RunNext(cells, 9, bench.workspace.get(), sink).value(), 1);
  EXPECT_EQ(bench.counting.layer_rows, 4 * kTokens + 2 * 3);
  EXPECT_EQ(sink.cells.count(9), 1u);
}

// 7 of 12 layers on average, by the number of rows that layers compute.
TEST(SweepTest, AllHeadsCostLittleMoreThanHalfOfAsManyRuns) {
  for (const char* name : {"gpt2-f32", "modernbert-f16"}) {
    Bench bench(name);
    const auto base = bench.Base();
    EditedRuns runs = bench.Runs(base, {Metric()});
    ASSERT_TRUE(runs.ReadBase().ok());
    const auto sweep = Sweep::Create(HeadAblation{}, base, bench.config(), "head_ablation");
    ASSERT_TRUE(sweep.ok()) << sweep.status();
    KeepingSink sink;
    for (int64_t done = 0, n = 1; n > 0; done += n) {
      n = RunSweep(*sweep, done, runs, bench.workspace.get(), sink).value();
    }
    const int64_t layers = bench.config().n_layers, heads = bench.config().n_heads;
    ASSERT_EQ(static_cast<int64_t>(sink.cells.size()), layers * heads);
    EXPECT_EQ(bench.counting.calls, layers);
    EXPECT_EQ(bench.counting.layer_rows, kTokens * heads * layers * (layers + 1) / 2);
  }
}

// Each cell of a grid is the run of its one edit.
void ExpectCells(Bench& bench, const std::shared_ptr<const Trace>& base, SweepGrid grid,
                 const SweepAxes& want,
                 const std::function<Intervention(int row, int column)>& edit) {
  const auto sweep = Sweep::Create(std::move(grid), base, bench.config(), "grid");
  ASSERT_TRUE(sweep.ok()) << sweep.status();
  EXPECT_EQ(sweep->axes().row_name, want.row_name);
  EXPECT_EQ(sweep->axes().column_name, want.column_name);
  EXPECT_EQ(sweep->axes().rows, want.rows);
  EXPECT_EQ(sweep->axes().columns, want.columns);
  EditedRuns runs = bench.Runs(base, {Metric{.position = -1, .token = 3}});
  ASSERT_TRUE(runs.ReadBase().ok());
  KeepingSink sink;
  int64_t done = 0;
  for (int64_t n = 1; n > 0; done += n) {
    n = RunSweep(*sweep, done, runs, bench.workspace.get(), sink).value();
  }
  ASSERT_EQ(done, want.cells());
  const int columns = static_cast<int>(want.columns.size());
  for (int64_t i = 0; i < done; ++i) {
    const auto logits =
        bench.Logits({edit(static_cast<int>(i) / columns, static_cast<int>(i) % columns)});
    const float value = logits[(kTokens - 1) * bench.config().vocab_size + 3];
    EXPECT_EQ(sink.cells[i].values, std::vector<double>{value}) << "cell " << i;
    EXPECT_EQ(sink.cells[i].deltas, std::vector<double>{value - runs.base_values()[0]});
  }
}

TEST(SweepTest, CellsAreTheRunsOfTheirEdits) {
  for (const char* name : {"gpt2-f32", "bert-f32"}) {
    SCOPED_TRACE(name);
    Bench bench(name);  // 2 layers, 4 heads
    const auto base = bench.Base();
    const auto clean = bench.Base({}, {Site::kMixed, Site::kMlpOut}, /*step=*/11);
    ExpectCells(bench, base, HeadAblation{{}, {-1, 1}, true}, {"layer", "head", {0, 1}, {1, 3}},
                [](int row, int column) { return Edit(MeanSite{}, {row}, {column == 0 ? 1 : 3}); });
    ExpectCells(bench, base, EdgeKnockOut{{1}, {0, 2}, {{-2, -1}}, {{0, 2}, {5, 6}}},
                {"layer", "key", {1}, {0, 1, 5}}, [](int, int column) {
                  const int64_t key = column == 2 ? 5 : column;
                  return Edit(KnockOut{}, {1}, {0, 2}, {{18, 19}}, {{key, key + 1}});
                });
    ExpectCells(
        bench, base, ActivationPatching{clean, Site::kMlpOut, {}, {{3, 5}}},
        {"layer", "position", {0, 1}, {3, 4}}, [&](int row, int column) {
          return Edit(PatchSite{Site::kMlpOut, clean}, {row}, {}, {{3 + column, 4 + column}});
        });
    ActivationPatching by_head{clean, Site::kMixed, {0}};
    by_head.by_head = true;
    ExpectCells(bench, base, by_head, {"layer", "head", {0}, {0, 1, 2, 3}}, [&](int, int column) {
      return Edit(PatchSite{Site::kMixed, clean}, {0}, {column});
    });
    ExpectCells(bench, base, FocusDial{{1}, {}, {}, {0, 1, 2.5}}, {"beta", "", {0, 1, 2.5}, {0}},
                [](int row, int) { return Edit(ScaleScores{row == 2 ? 2.5 : row}, {1}); });
  }
}

TEST(SweepTest, ErrorsNameTheFieldAndWhatIsRight) {
  Bench bench("gpt2-f32");
  const auto base = bench.Base();
  const auto short_run = TraceOf(bench.counting, {1, 2, 3}, {Site::kMlpOut});
  ActivationPatching headless{base, Site::kMlpOut};
  headless.heads = {0};
  const std::vector<std::pair<SweepGrid, std::string>> cases = {
      {HeadAblation{.layers = {2}}, "grid.layers[0]: is 2; must be in [-2, 1]"},
      {HeadAblation{.heads = {4}}, "grid.heads[0]: is 4; must be in [-4, 3]"},
      {EdgeKnockOut{.keys = {{30}}}, "grid.keys[0].begin is 30; there are 20 tokens"},
      {FocusDial{.betas = {1, -1}}, "grid.betas[1]: is -1; must be in [0, 1000]"},
      {FocusDial{}, "grid.betas: are none"},
      {ActivationPatching{}, "grid.clean: is missing"},
      {ActivationPatching{short_run, Site::kMlpOut}, "grid.clean: has 3 tokens"},
      {headless, "mlp_out has no heads"},
      {ActivationPatching{base, Site::kMlpOut}, "the clean trace does not keep mlp_out"}};
  for (const auto& [grid, message] : cases) {
    const auto sweep = Sweep::Create(grid, base, bench.config(), "grid");
    EXPECT_THAT(std::string(sweep.status().message()), HasSubstr(message));
  }
}

TEST(EditedRunsTest, AStopSignalEndsThem) {
  Bench bench("gpt2-f32");
  const auto base = bench.Base();
  StopSignal stop;
  EditedRuns runs = bench.Runs(base, {Metric()}, {}, &stop);
  ASSERT_TRUE(runs.ReadBase().ok());
  const auto cell = MakeCell(*base, {Edit(ScaleScores{2})}, bench.config());
  KeepingSink sink;
  stop.Cancel();
  EXPECT_EQ(runs.RunAll({*cell}, bench.workspace.get(), sink).code(), absl::StatusCode::kCancelled);
  EXPECT_TRUE(sink.cells.empty());
}

TEST(EditedRunsTest, APoolTooSmallForAllTakesFewerAtATimeAndForOneRefuses) {
  Bench bench("gpt2-f32");
  const auto base = bench.Base();
  const std::vector<EditedCell> cells(5, *MakeCell(*base, {Edit(ScaleScores{2})}, bench.config()));
  for (int64_t pages : {1, 2}) {
    KvPool pool(KvLayout::For(bench.config()), pages * PagesFor(kTokens));
    EditedRuns runs(&bench.counting, &pool, base,
                    *MetricReader::Create({Metric()}, base->tokens(), bench.config()));
    ASSERT_TRUE(runs.ReadBase().ok());
    bench.counting.calls = 0;
    KeepingSink sink;
    EXPECT_TRUE(runs.RunAll(cells, bench.workspace.get(), sink).ok());
    EXPECT_EQ(bench.counting.calls, pages == 1 ? 5 : 3);
    EXPECT_EQ(sink.cells.size(), 5u);
    KvCache taken(&pool);
    ASSERT_TRUE(taken.Reserve(pages * kTokens).ok());
    EXPECT_EQ(runs.RunAll(cells, bench.workspace.get(), sink).code(),
              absl::StatusCode::kResourceExhausted);
  }
}

TEST(EditedRunsTest, EditsThatMakeNoNumbersSpoilTheirOwnCellOnly) {
  Bench bench("gpt2-f32");
  const auto base = bench.Base();
  EditedRuns runs = bench.Runs(base, {Metric()});
  ASSERT_TRUE(runs.ReadBase().ok());
  const std::vector<float> huge(bench.config().width, 3e38f);
  std::vector<EditedCell> cells;
  for (double scale : {1000.0, 1e-39}) {
    cells.push_back(
        *MakeCell(*base, {Edit(AddVector{Site::kMlpOut, huge, scale}, {1})}, bench.config()));
  }
  KeepingSink sink;
  ASSERT_TRUE(runs.RunAll(cells, bench.workspace.get(), sink).ok());
  EXPECT_EQ(sink.cells[0].status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(sink.cells[0].status.message()), HasSubstr("NaN or an infinity"));
  EXPECT_TRUE(sink.cells[1].status.ok());
  EXPECT_EQ(sink.cells[1].values.size(), 1u);
}

// ---- metrics

TEST(MetricTest, AreWhatTheirNamesSay) {
  const auto model = LoadGolden("gpt2-f32", DefaultBackend());
  ModelConfig config = model->config();
  config.vocab_size = 4;
  const std::vector<TokenId> tokens = {0, 2, 1};
  const std::vector<Metric> metrics = {
      {.kind = Metric::Kind::kLogit, .token = 2},
      {.kind = Metric::Kind::kLogitDifference, .position = 0, .token = 2, .against = 0},
      {.kind = Metric::Kind::kProbability, .token = 1},
      {.kind = Metric::Kind::kRank, .token = 1},
      {.kind = Metric::Kind::kKlFromBase},
      {.kind = Metric::Kind::kLoss},
      {.kind = Metric::Kind::kLoss, .targets = {{-1, 3}, {2, 0}}}};
  auto reader = MetricReader::Create(metrics, tokens, config);
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_THAT(reader->positions(), testing::ElementsAre(0, 1, 2));
  const float ln2 = std::log(2.0f);
  // Probabilities 1/2 1/4 1/8 1/8; 1/4 each; 1/8 1/4 1/2 1/8, and a base of 1/4 each.
  const std::vector<std::vector<float>> rows = {
      {3 * ln2, 2 * ln2, ln2, ln2}, {1, 1, 1, 1}, {-ln2, 0, ln2, -ln2}};
  reader->SetBase(2, rows[1]);
  std::vector<double> values(metrics.size());
  for (int64_t p = 0; p < 3; ++p) reader->Read(p, rows[p], absl::MakeSpan(values));
  const std::vector<double> want = {ln2, -2 * ln2, 0.25, 2, 0.25 * ln2, (3 + 2) * ln2 / 2, 3 * ln2};
  for (size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(values[i], want[i], 1e-6) << i;
}

TEST(MetricTest, APositionMoreIsReadOnceAndChangesNoMetric) {
  const auto model = LoadGolden("gpt2-f32", DefaultBackend());
  const std::vector<TokenId> tokens = {0, 2, 1};
  auto reader = MetricReader::Create({{.kind = Metric::Kind::kLoss}}, tokens, model->config());
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_THAT(reader->positions(), testing::ElementsAre(0, 1));
  reader->AddPosition(2);
  reader->AddPosition(0);
  EXPECT_THAT(reader->positions(), testing::ElementsAre(0, 1, 2));
  const std::vector<float> row(model->config().vocab_size);
  double value = 0;
  reader->Read(2, row, absl::MakeSpan(&value, 1));
  EXPECT_EQ(value, 0);
}

TEST(MetricTest, ErrorsNameTheFieldAndWhatIsRight) {
  const auto gpt2 = LoadGolden("gpt2-f32", DefaultBackend());
  const auto bert = LoadGolden("bert-f32", DefaultBackend());
  const std::vector<TokenId> tokens = {0, 2, 1};
  const auto fails = [&](const Metric& metric, const ModelConfig& config, absl::StatusCode code,
                         const std::string& message) {
    const auto reader = MetricReader::Create({Metric(), metric}, tokens, config);
    EXPECT_EQ(reader.status().code(), code);
    EXPECT_THAT(std::string(reader.status().message()), HasSubstr(message));
  };
  const ModelConfig& config = gpt2->config();
  fails({.token = 300}, config, absl::StatusCode::kInvalidArgument,
        "metrics[1].token: is 300; must be in [0, 299]");
  fails({.kind = Metric::Kind::kLogitDifference, .against = -1}, config,
        absl::StatusCode::kInvalidArgument, "metrics[1].against");
  fails({.kind = Metric::Kind::kLoss, .targets = {{0, 1}, {0, 999}}}, config,
        absl::StatusCode::kInvalidArgument, "metrics[1].targets[1].token");
  fails({.position = 3}, config, absl::StatusCode::kOutOfRange,
        "metrics[1].position is 3; the prompt has 3 tokens, so it must be in [-3, 2]");
  fails({.kind = Metric::Kind::kLoss}, bert->config(), absl::StatusCode::kFailedPrecondition,
        "sees the tokens that follow");
  ModelConfig headless = config;
  headless.has_head = false;
  fails({}, headless, absl::StatusCode::kFailedPrecondition, "no head");
}

}  // namespace
}  // namespace heed
