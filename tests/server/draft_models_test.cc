// Generations with and without guesses of the next tokens, on real models: every event, every
// attention row and every row of a trace has the same bits.
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"
#include "model/inspect/intervention_set.h"
#include "model/inspect/trace.h"
#include "server/engine/generate_task.h"
#include "server/engine/observer_pair.h"
#include "server/engine/registry.h"
#include "server/engine/scheduler.h"
#include "tests/base/print_formats.h"

namespace heed {
namespace {

constexpr int64_t kPromptTokens = 14;

// What a generation gave, in numbers that can be compared.
struct Outcome {
  std::vector<TokenId> tokens;
  std::vector<double> facts;    // of each token and its alternatives
  std::vector<float> weights;   // of attention
  std::vector<int64_t> places;  // of those
  std::vector<float> trace;
  int64_t trace_size = 0;
  EngineTimings timings;

  bool operator==(const Outcome& other) const {
    return tokens == other.tokens && facts == other.facts && weights == other.weights &&
           places == other.places && trace == other.trace && trace_size == other.trace_size;
  }
};

void Add(const ScoredToken& token, Outcome* out) {
  out->facts.insert(out->facts.end(), {static_cast<double>(token.id), token.log_probability,
                                       token.probability, static_cast<double>(token.rank)});
}

void Add(const TokenEvent& event, Outcome* out) {
  out->tokens.push_back(event.token.id);
  Add(event.token, out);
  out->facts.push_back(event.entropy);
  for (const ScoredToken& token : event.alternatives) Add(token, out);
  for (const AttentionTile& tile : event.attention) {
    out->places.insert(out->places.end(), {tile.layer(), tile.head(), tile.queries()[0]});
    out->places.insert(out->places.end(), tile.keys().begin(), tile.keys().end());
    out->weights.insert(out->weights.end(), tile.weights().begin(), tile.weights().end());
  }
}

struct Wanted {
  float temperature = 0;
  bool watched = false;
  int64_t top_k = 0;  // of watched rows
  std::vector<TokenId> stop_ids;
  bool edited = false;
};

// Scores, edges, weights, heads and the stream, of prompt and answer.
std::vector<Intervention> SomeEdits() {
  std::vector<Intervention> edits(5);
  edits[0].edit = ScaleScores{1.5};
  edits[1].edit = KnockOut{};
  edits[1].keys = {{2, 5}};
  edits[2].edit = WeightPreset::kLastWord;
  edits[2].layers = {-1};
  edits[2].heads = {1};
  edits[3].edit = ScaleSite{Site::kMixed, 0};
  edits[3].layers = {0};
  edits[3].heads = {0};
  edits[4].edit = ScaleSite{Site::kAttentionOut, 0.75};
  edits[4].positions = {{kPromptTokens - 1, {}}};
  return edits;
}

class DraftModels : public testing::TestWithParam<std::pair<std::string, WeightFormat>> {
 protected:
  Outcome Generate(const std::shared_ptr<const ServedModel>& model, int64_t max_draft_tokens,
                   const Wanted& wanted) {
    const ModelConfig& config = model->model->config();
    EngineRequest request;
    request.model = model;
    for (int64_t i = 0; i < kPromptTokens; ++i) {
      request.prompt.push_back(static_cast<TokenId>((3 + i % 5) % config.vocab_size));
    }
    request.logits_positions = {kPromptTokens - 1};
    GenerateJob job;
    job.sampling = {.temperature = wanted.temperature, .seed = 11};
    job.max_tokens = std::min<int64_t>(60, config.context_for(kPromptTokens) - kPromptTokens);
    job.alternatives = 2;
    job.stop_ids = wanted.stop_ids;
    request.max_new_tokens = job.max_tokens - 1;
    request.stop = std::make_shared<StopSignal>();

    std::shared_ptr<InterventionSet> edits;
    if (wanted.edited) {
      auto made = InterventionSet::Create(SomeEdits(), config, {kPromptTokens, job.max_tokens});
      EXPECT_TRUE(made.ok()) << made.status();
      edits = *std::move(made);
      request.plan.editor = edits.get();
    }
    std::unique_ptr<StepCapture> capture;
    std::unique_ptr<TraceRecorder> recorder;
    std::optional<ObserverPair> pair;
    if (wanted.watched) {
      AttentionChoice choice{.top_k = wanted.top_k};
      for (int layer = 0; layer < config.n_layers; ++layer) choice.layers.push_back(layer);
      for (int head = 0; head < config.n_heads; ++head) choice.heads.push_back(head);
      capture =
          std::make_unique<StepCapture>(choice, kPromptTokens, config.n_layers, config.n_heads);
      recorder =
          *TraceRecorder::Create(config, {Site::kResidual}, kPromptTokens + job.max_tokens - 1);
      request.plan.observer = &pair.emplace(capture.get(), recorder.get());
    }
    const auto queue = std::make_shared<EventQueue>();
    Outcome outcome;
    absl::Notification done;
    absl::Mutex mutex;
    const auto drain = [&] {
      absl::MutexLock lock(&mutex);
      bool made_room = false;
      while (const auto event = queue->Pop(&made_room)) {
        if (const auto* const token = std::get_if<TokenEvent>(&*event)) Add(*token, &outcome);
        if (const auto* const end = std::get_if<EndEvent>(&*event)) outcome.timings = end->timings;
      }
    };
    Scheduler scheduler({.prefix_cache = false, .max_draft_tokens = max_draft_tokens});
    const std::vector<TokenId> prompt = request.prompt;
    request.task = std::make_unique<GenerateTask>(
        job, model, prompt, queue, std::move(capture),
        GenerateTask::Callbacks{drain, [&](const absl::Status& status) {
                                  EXPECT_TRUE(status.ok()) << status;
                                  drain();
                                  done.Notify();
                                }});
    const absl::Status submitted = scheduler.Submit(std::move(request));
    EXPECT_TRUE(submitted.ok()) << submitted;
    if (!submitted.ok()) return outcome;
    done.WaitForNotification();
    if (recorder != nullptr) {
      std::vector<TokenId> all = prompt;
      all.insert(all.end(), outcome.tokens.begin(), outcome.tokens.end());
      outcome.trace_size = recorder->positions();
      AddTrace(*recorder->Finish(all, edits), config, &outcome);
    }
    return outcome;
  }

  static void AddTrace(const Trace& trace, const ModelConfig& config, Outcome* out) {
    for (int layer = 0; layer <= config.n_layers; ++layer) {
      for (Site site : {Site::kQuery, Site::kKey, Site::kValue, Site::kResidual}) {
        if (!trace.Has(site, layer)) continue;
        const ConstMatrixRef rows = trace.SiteRows(site, layer);
        for (int64_t r = 0; r < rows.rows; ++r) {
          out->trace.insert(out->trace.end(), rows.Row(r).begin(), rows.Row(r).end());
        }
      }
    }
  }
};

TEST_P(DraftModels, ChangeNoBit) {
  for (const KvType kv_type : {KvType::kF32, KvType::kInt8}) {
    const auto model = LoadServedModel(
        "model", absl::StrCat(HEED_SOURCE_DIR, "/tests/golden/models/", GetParam().first),
        {.weights = GetParam().second, .kv_type = kv_type});
    ASSERT_TRUE(model.ok()) << model.status();
    int64_t accepted = 0, rejected = 0;
    std::vector<Wanted> all = {{},
                               {.watched = true},
                               {.watched = true, .top_k = 3},
                               {.temperature = 0.1f, .watched = true},
                               {.temperature = 1},
                               {.edited = true},
                               {.watched = true, .edited = true},
                               {.temperature = 0.1f, .watched = true, .top_k = 3, .edited = true}};
    EXPECT_NE(Generate(*model, 0, {.edited = true}).facts, Generate(*model, 0, {}).facts);
    // Ends that the guesses go beyond.
    const std::vector<TokenId> greedy = Generate(*model, 0, {}).tokens;
    for (const TokenId id : std::set<TokenId>(greedy.begin(), greedy.end())) {
      all.push_back({.watched = true, .stop_ids = {id}});
    }
    for (const Wanted& wanted : all) {
      const Outcome plain = Generate(*model, 0, wanted);
      EXPECT_EQ(plain.timings.draft_tokens, 0);
      for (const int64_t most : {1, 4, 15}) {
        const Outcome drafted = Generate(*model, most, wanted);
        EXPECT_TRUE(drafted == plain)
            << "temperature " << wanted.temperature << (wanted.watched ? ", watched" : "")
            << (wanted.edited ? ", edited" : "") << ", at most " << most;
        accepted += drafted.timings.accepted_tokens;
        rejected += drafted.timings.draft_tokens - drafted.timings.accepted_tokens;
      }
    }
    EXPECT_GT(accepted, 0);
    EXPECT_GT(rejected, 0);
  }
}

using Held = std::pair<std::string, WeightFormat>;
INSTANTIATE_TEST_SUITE_P(Models, DraftModels,
                         testing::Values(Held{"gpt2-f32", WeightFormat::kF32},
                                         Held{"gpt2-f32", WeightFormat::kInt8},
                                         Held{"llama-gqa-f32", WeightFormat::kF32},
                                         Held{"llama-gqa-f32", WeightFormat::kInt4},
                                         Held{"gemma2-f32", WeightFormat::kInt8},
                                         Held{"gemma3-bf16", WeightFormat::kF16},
                                         Held{"qwen3-bf16", WeightFormat::kInt4},
                                         Held{"qwen3-windows-f16", WeightFormat::kF32},
                                         Held{"rope-dynamic-f16", WeightFormat::kF32},
                                         Held{"mistral-bf16", WeightFormat::kInt8},
                                         Held{"bloom-f16", WeightFormat::kInt8}));

}  // namespace
}  // namespace heed
