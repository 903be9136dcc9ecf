#include "model/inspect/head_stats.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "absl/strings/str_cat.h"
#include "model/base/error.h"
#include "model/inspect/attention_read.h"
#include "model/kernels/double_rows.h"

namespace heed {
namespace {

// Place of a value in an ascending list.
template <typename T>
int64_t PlaceOf(const std::vector<T>& list, T value) {
  return std::lower_bound(list.begin(), list.end(), value) - list.begin();
}

void Add(const RowStats& from, RowStats& to) {
  to.entropy += from.entropy;
  to.effective_tokens += from.effective_tokens;
  to.max_weight += from.max_weight;
  to.first_token += from.first_token;
  to.self += from.self;
  to.previous_token += from.previous_token;
  to.mean_distance += from.mean_distance;
}

RowStats Scaled(RowStats stats, double factor) {
  for (double* value :
       {&stats.entropy, &stats.effective_tokens, &stats.max_weight, &stats.first_token, &stats.self,
        &stats.previous_token, &stats.mean_distance}) {
    *value *= factor;
  }
  return stats;
}

// The cells of the pattern in a row.
void FillPattern(HeadPattern pattern, const std::vector<TokenId>& tokens, int64_t query,
                 absl::Span<float> row) {
  std::fill(row.begin(), row.end(), 0.0f);
  if (pattern == HeadPattern::kPreviousToken) {
    if (query > 0) row[query - 1] = 1;
    return;
  }
  const int64_t shift = pattern == HeadPattern::kInduction ? 1 : 0;
  for (int64_t key = 0; key < query; ++key) {
    if (tokens[key] == tokens[query]) row[key + shift] = 1;
  }
}

// HeadVis counts weights of at least this behind an earlier token, and the previous one's always.
constexpr float kHeadVisFloor = 0.01f;

double HeadVisSum(HeadPattern pattern, absl::Span<const float> weights,
                  absl::Span<const float> cells) {
  double sum = 0;
  for (size_t key = 0; key < weights.size(); ++key) {
    const bool counts = pattern == HeadPattern::kPreviousToken || weights[key] >= kHeadVisFloor;
    if (cells[key] != 0 && counts) sum += weights[key];
  }
  return sum;
}

void Add(const PatternSums& from, PatternSums& to) {
  to.matched += from.matched;
  to.all += from.all;
  to.apart += from.apart;
}

// What a row adds to a score; to HeadVis's it adds what matched.
PatternSums SumsOf(const DetectionOptions& options, int64_t query, absl::Span<const float> weights,
                   absl::Span<const float> cells) {
  if (options.score == DetectionScore::kHeadVis) {
    return {.matched = HeadVisSum(options.pattern, weights, cells), .all = 0, .apart = 0};
  }
  // None where `end` is before `begin`, as in the first row behind an excluded first token.
  const auto sums_between = [&](int64_t begin, int64_t end) {
    return BestDoubleRows().match(weights.data() + begin, cells.data() + begin, end - begin);
  };
  const int64_t begin = options.exclude_first_token ? 1 : 0;
  const int64_t end = static_cast<int64_t>(weights.size());
  if (!options.exclude_current_token) return sums_between(begin, end);
  PatternSums sums = sums_between(begin, query);
  Add(sums_between(query + 1, end), sums);
  return sums;
}

// Queries whose token came before.
int64_t CountRepeated(const std::vector<TokenId>& tokens) {
  std::set<TokenId> seen;
  int64_t repeated = 0;
  for (TokenId token : tokens) repeated += seen.insert(token).second ? 0 : 1;
  return repeated;
}

double ScoreOf(const DetectionOptions& options, const Trace& trace, const PatternSums& sums) {
  const double n = static_cast<double>(trace.size());
  switch (options.score) {
    case DetectionScore::kTlMul:
      return sums.all > 0 ? sums.matched / sums.all : 0;
    case DetectionScore::kTlAbs:
      return 1 - sums.apart / n;  // T * (sum / T^2)
    case DetectionScore::kHeadVis:
      break;
  }
  if (options.pattern == HeadPattern::kPreviousToken) return sums.matched / (n - 1);
  const int64_t repeated = CountRepeated(trace.tokens());
  return repeated > 0 ? sums.matched / static_cast<double>(repeated) : 0;
}

absl::Status CheckDetection(const Trace& trace, const DetectionOptions& options) {
  if (trace.size() < 2) {
    return InvalidFields({{"prompt", "a pattern needs at least 2 tokens, this prompt has 1"}});
  }
  const bool is_custom = !options.custom.empty();
  if (is_custom && static_cast<int64_t>(options.custom.size()) != trace.size() * trace.size()) {
    return InvalidFields({{"custom", absl::StrCat("must be [", trace.size(), ", ", trace.size(),
                                                  "], a row and a column for each token")}});
  }
  if (options.score != DetectionScore::kHeadVis) return absl::OkStatus();
  if (is_custom || options.pattern == HeadPattern::kDuplicateToken) {
    return InvalidFields(
        {{"score", "HEADVIS_V1 is defined for the previous token and for induction; use TL_MUL"}});
  }
  if (options.exclude_first_token || options.exclude_current_token) {
    return InvalidFields({{"score", "HEADVIS_V1 excludes no tokens; use TL_MUL"}});
  }
  return absl::OkStatus();
}

}  // namespace

RowStats StatsOf(int64_t query, absl::Span<const float> weights) {
  const WeightSums sums =
      BestDoubleRows().weigh(weights.data(), static_cast<int64_t>(weights.size()), query);
  RowStats stats;
  if (sums.largest == 0) return stats;
  stats.entropy = std::max(sums.entropy, 0.0);
  stats.effective_tokens = std::exp(stats.entropy);
  stats.max_weight = sums.largest;
  stats.mean_distance = sums.distance;
  stats.first_token = weights[0];
  stats.self = weights[query];
  stats.previous_token = query > 0 ? weights[query - 1] : 0;
  return stats;
}

std::vector<RowStats> HeadRowStats(const LanguageModel& model, const Trace& trace,
                                   const HeadChoice& choice) {
  const int64_t n_queries = static_cast<int64_t>(choice.queries.size());
  const int64_t n_heads = static_cast<int64_t>(choice.heads.size());
  std::vector<RowStats> stats(choice.layers.size() * n_heads * n_queries);
  for (size_t l = 0; l < choice.layers.size(); ++l) {
    RowStats* const layer_stats = stats.data() + l * n_heads * n_queries;
    LayerAttention(model, trace, choice.layers[l])
        .Read(AttentionStage::kWeights, choice.heads, choice.queries,
              [&](int head, int64_t query, absl::Span<const float> row) {
                layer_stats[PlaceOf(choice.heads, head) * n_queries +
                            PlaceOf(choice.queries, query)] = StatsOf(query, row);
              });
  }
  return stats;
}

std::vector<RowStats> MeanStats(absl::Span<const RowStats> rows, int64_t per_group) {
  std::vector<RowStats> means;
  for (size_t begin = 0; begin < rows.size(); begin += per_group) {
    RowStats sum;
    for (const RowStats& row : rows.subspan(begin, per_group)) Add(row, sum);
    means.push_back(Scaled(sum, 1.0 / static_cast<double>(per_group)));
  }
  return means;
}

const char* DefinitionName(DetectionScore score) {
  switch (score) {
    case DetectionScore::kTlMul:
      return "TL_MUL";
    case DetectionScore::kTlAbs:
      return "TL_ABS";
    case DetectionScore::kHeadVis:
      return "HEADVIS_V1";
  }
  return "";
}

absl::StatusOr<std::vector<double>> DetectHeads(const LanguageModel& model, const Trace& trace,
                                                const HeadChoice& choice,
                                                const DetectionOptions& options) {
  if (absl::Status status = CheckDetection(trace, options); !status.ok()) return status;
  const int64_t n = trace.size();
  std::vector<int64_t> queries(n);
  std::iota(queries.begin(), queries.end(), int64_t{0});
  std::vector<double> scores;
  for (int layer : choice.layers) {
    std::vector<PatternSums> rows(choice.heads.size() * n);
    LayerAttention(model, trace, layer)
        .Read(AttentionStage::kWeights, choice.heads, queries,
              [&](int head, int64_t query, absl::Span<const float> weights) {
                thread_local std::vector<float> pattern;
                if (options.custom.empty()) {
                  pattern.resize(n);
                  FillPattern(options.pattern, trace.tokens(), query, absl::MakeSpan(pattern));
                } else {
                  const float* custom = options.custom.data() + query * n;
                  pattern.assign(custom, custom + n);
                }
                rows[PlaceOf(choice.heads, head) * n + query] =
                    SumsOf(options, query, weights, pattern);
              });
    for (size_t h = 0; h < choice.heads.size(); ++h) {
      PatternSums sums = {};
      for (int64_t query = 0; query < n; ++query) Add(rows[h * n + query], sums);
      scores.push_back(ScoreOf(options, trace, sums));
    }
  }
  return scores;
}

}  // namespace heed
