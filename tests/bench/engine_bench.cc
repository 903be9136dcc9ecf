#include "tests/bench/engine_bench.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/base/status_macros.h"
#include "model/transformer/kv_cache.h"

namespace heed::bench {
namespace {

// Some sequences of one model, run together.
class Batch {
 public:
  Batch(const LanguageModel& model, int64_t sequences)
      : model_(model),
        pool_(KvLayout::For(model.config()), sequences * PagesFor(model.config().context_window)),
        workspace_(model.NewWorkspace()),
        logits_(sequences * model.config().vocab_size) {
    for (int64_t i = 0; i < sequences; ++i) caches_.push_back(std::make_unique<KvCache>(&pool_));
  }

  absl::Status Reserve(int64_t tokens) {
    for (auto& cache : caches_) HEED_RETURN_IF_ERROR(cache->Reserve(tokens));
    return absl::OkStatus();
  }

  void Forget(int64_t from) {
    for (auto& cache : caches_) cache->Truncate(from);
  }

  // Gives every sequence `count` more tokens, with logits of the last.
  absl::Status Append(int64_t count) {
    const int64_t vocab_size = model_.config().vocab_size;
    std::vector<std::vector<TokenId>> tokens(caches_.size());
    std::vector<SequenceSlice> slices;
    const int64_t last = count - 1;
    for (size_t s = 0; s < caches_.size(); ++s) {
      for (int64_t i = 0; i < count; ++i) {
        tokens[s].push_back(
            static_cast<TokenId>(((caches_[s]->size() + i) * 31 + s * 7) % vocab_size));
      }
      slices.push_back({.tokens = tokens[s], .cache = caches_[s].get(), .logits_rows = {&last, 1}});
    }
    const MatrixRef logits(logits_.data(), static_cast<int64_t>(caches_.size()), vocab_size);
    return model_.Forward(absl::MakeSpan(slices), logits, workspace_.get());
  }

 private:
  const LanguageModel& model_;
  KvPool pool_;
  std::vector<std::unique_ptr<KvCache>> caches_;
  std::unique_ptr<Workspace> workspace_;
  std::vector<float> logits_;  // [sequences, vocab_size]
};

Measurement WithRoof(Measurement measurement, double roof) {
  if (roof > 0) measurement.percent_of_roof = 100 * measurement.median / roof;
  return measurement;
}

absl::StatusOr<std::vector<Measurement>> BenchPrefill(const LanguageModel& model, const Roof& roof,
                                                      int64_t tokens, int repetitions) {
  Batch batch(model, 1);
  HEED_RETURN_IF_ERROR(batch.Reserve(tokens));
  absl::Status status;
  const std::vector<double> seconds = TimeRepeatedly(repetitions, [&] {
    batch.Forget(0);
    status.Update(batch.Append(tokens));
  });
  HEED_RETURN_IF_ERROR(status);
  const double operations = PrefillOperations(model.config(), tokens);
  const std::string name = absl::StrCat("prefill ", tokens);
  return std::vector<Measurement>{
      Summarise(name, "tokens/s", Rates(static_cast<double>(tokens), seconds)),
      WithRoof(
          Summarise(absl::StrCat(name, ", arithmetic"), "Gop/s", Rates(operations / 1e9, seconds)),
          roof.operations_per_second / 1e9)};
}

// Those that are longer than the window are the whole window, once.
std::vector<int64_t> PrefillLengths(const ModelConfig& config, const EngineBenchOptions& options) {
  std::vector<int64_t> lengths;
  for (int64_t tokens : options.prefill_tokens) {
    const int64_t fitting = std::min<int64_t>(tokens, config.context_window);
    if (lengths.empty() || fitting > lengths.back()) lengths.push_back(fitting);
  }
  return lengths;
}

// Seconds per run of `steps` steps of `sequences` sequences.
absl::StatusOr<std::vector<double>> TimeDecode(const LanguageModel& model, int64_t sequences,
                                               int64_t prompt, int64_t steps, int repetitions) {
  Batch batch(model, sequences);
  HEED_RETURN_IF_ERROR(batch.Reserve(prompt + steps));
  HEED_RETURN_IF_ERROR(batch.Append(prompt));
  absl::Status status;
  std::vector<double> seconds = TimeRepeatedly(repetitions, [&] {
    batch.Forget(prompt);
    for (int64_t i = 0; i < steps; ++i) status.Update(batch.Append(1));
  });
  HEED_RETURN_IF_ERROR(status);
  return seconds;
}

// Of the weights that one step reads. Embeddings that are not the unembedding too are held, but not
// read; as wide as the layers' weights, and often not as the unembedding's.
double StepWeightBytes(const LanguageModel& model) {
  const double unembedding = static_cast<double>(model.config().width * model.config().vocab_size);
  const Linear* const head = model.parts().head.unembedding;
  const double head_bytes = head == nullptr ? 0 : static_cast<double>(head->weight_bytes());
  const double share = (static_cast<double>(MatrixWeights(model.config())) - unembedding) /
                       (static_cast<double>(model.parameter_count()) - unembedding);
  return head_bytes + share * (static_cast<double>(model.weight_bytes()) - head_bytes);
}

// Of the keys and values that one of `steps` steps behind a prompt reads, on the average.
double StepKeyBytes(const LanguageModel& model, int64_t prompt, int64_t steps) {
  const double keys = static_cast<double>(prompt) + 0.5 * static_cast<double>(steps + 1);
  const int64_t page_bytes = KvLayout::For(model.config()).page_bytes();
  return keys * static_cast<double>(page_bytes) / static_cast<double>(kPageTokens);
}

absl::StatusOr<std::vector<Measurement>> BenchDecode(const LanguageModel& model, const Roof& roof,
                                                     const EngineBenchOptions& options) {
  const int64_t window = model.config().context_window;
  const int64_t prompt =
      std::clamp<int64_t>(options.decode_prompt_tokens, 1, std::max<int64_t>(window / 2, 1));
  const int64_t steps = std::max<int64_t>(std::min(options.decode_tokens, window - prompt), 1);
  const double bytes = StepWeightBytes(model) + StepKeyBytes(model, prompt, steps);
  std::vector<Measurement> measurements;
  for (int64_t sequences : options.sequences) {
    HEED_ASSIGN_OR_RETURN(const std::vector<double> seconds,
                          TimeDecode(model, sequences, prompt, steps, options.repetitions));
    const std::string name = sequences == 1
                                 ? absl::StrCat("decode ", steps)
                                 : absl::StrCat("decode ", steps, " x ", sequences, " sequences");
    measurements.push_back(
        Summarise(name, "tokens/s", Rates(static_cast<double>(steps * sequences), seconds)));
    if (sequences > 1) continue;
    measurements.push_back(
        WithRoof(Summarise(absl::StrCat(name, ", weights and keys read"), "GB/s",
                           Rates(bytes * static_cast<double>(steps) / 1e9, seconds)),
                 roof.bytes_per_second / 1e9));
  }
  return measurements;
}

}  // namespace

int64_t MatrixWeights(const ModelConfig& config) {
  const int64_t attention = 2 * config.width * (config.query_width() + config.kv_width());
  const int64_t mlp = (config.gated_mlp ? 3 : 2) * config.width * config.ffn_width;
  return config.n_layers * (attention + mlp) + config.width * config.vocab_size;
}

double PrefillOperations(const ModelConfig& config, int64_t tokens) {
  const int64_t unembedding = config.width * config.vocab_size;
  const int64_t each_token = MatrixWeights(config) - unembedding;
  const int64_t pairs = config.causal ? tokens * (tokens + 1) / 2 : tokens * tokens;
  const int64_t attention = 2 * config.n_layers * config.query_width() * pairs;
  return 2.0 * static_cast<double>(each_token * tokens + unembedding + attention);
}

absl::StatusOr<std::vector<Measurement>> BenchEngine(const LanguageModel& model, const Roof& roof,
                                                     const EngineBenchOptions& options) {
  std::vector<Measurement> measurements;
  for (int64_t tokens : PrefillLengths(model.config(), options)) {
    HEED_ASSIGN_OR_RETURN(const std::vector<Measurement> prefill,
                          BenchPrefill(model, roof, tokens, options.repetitions));
    measurements.insert(measurements.end(), prefill.begin(), prefill.end());
  }
  if (!model.config().causal) return measurements;
  HEED_ASSIGN_OR_RETURN(const std::vector<Measurement> decode, BenchDecode(model, roof, options));
  measurements.insert(measurements.end(), decode.begin(), decode.end());
  return measurements;
}

}  // namespace heed::bench
