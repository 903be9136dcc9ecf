#include "client/cli/ladder/ladder_calls.h"

#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cli/attention/attention_stats.h"

namespace heed::cli {
namespace {

// All that the threads share; they write to reports of their own.
struct Asking {
  Client& client;
  const LadderQuestion& question;
  const CallOptions& options;
  const std::vector<std::string> mask_texts;
};

PredictRequest MakeRequest(const Asking& asking, const Rung& rung, const std::string& text) {
  return {
      .model = rung.model.identity.name, .text = text, .truncation = asking.question.truncation};
}

absl::Status OnePrediction(const PredictResult& result) {
  if (result.predictions.size() == 1) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("the server sent ", result.predictions.size(),
                                          " predictions where one was asked for"));
}

absl::Status AskForAnswer(const Asking& asking, const Rung& rung, const std::string& prompt,
                          RungAnswer& answer) {
  auto asked = AdaptPrompt(prompt, rung.model, asking.mask_texts);
  if (!asked.ok()) return asked.status();
  answer.asked = *std::move(asked);
  PredictRequest request = MakeRequest(asking, rung, answer.asked.text);
  request.top_k = asking.question.top_k;
  auto result = asking.client.Predict(request, asking.options);
  if (!result.ok()) return result.status();
  answer.result = *std::move(result);
  return OnePrediction(answer.result);
}

// The whole distribution, for comparing.
absl::StatusOr<std::vector<float>> AskForDistribution(const Asking& asking, const Rung& rung,
                                                      const std::string& text) {
  PredictRequest request = MakeRequest(asking, rung, text);
  request.full_distribution = true;
  auto result = asking.client.Predict(request, asking.options);
  if (!result.ok()) return result.status();
  if (absl::Status status = OnePrediction(*result); !status.ok()) return status;
  return std::move(result->predictions.front().log_probabilities);
}

// The clearest head, and the mean of the last layer.
Look MakeLook(const AttentionMaps& maps) {
  const auto layers = static_cast<int64_t>(maps.header.layers.size());
  const auto heads = static_cast<int64_t>(maps.header.heads.size());
  HeadChoice choice;
  if (layers * heads > 1) choice = ChooseHead(maps);
  const Row row = DenseRow(maps, choice.layer, choice.head, 0);
  Look look{.layer = maps.header.layers[choice.layer],
            .head = maps.header.heads[choice.head],
            .reason = std::move(choice.reason),
            .weights = {row.begin(), row.end()},
            .mean_weights = std::vector<float>(row.size(), 0)};
  for (int64_t head = 0; head < heads; ++head) {
    const Row of_head = DenseRow(maps, layers - 1, head, 0);
    for (size_t key = 0; key < row.size(); ++key) {
      look.mean_weights[key] += of_head[key] / static_cast<float>(heads);
    }
  }
  return look;
}

absl::Status AskForLook(const Asking& asking, const Rung& rung, RungAnswer& answer) {
  const AttentionRequest request{.model = rung.model.identity.name,
                                 .text = answer.asked.text,
                                 .truncation = asking.question.truncation,
                                 .queries = {answer.prediction().position}};
  const auto maps = asking.client.Attention(request, asking.options);
  if (!maps.ok()) return maps.status();
  const AttentionHeader& header = maps->header;
  const auto tokens = static_cast<int64_t>(answer.result.prompt.tokens.size());
  if (header.layers.empty() || header.heads.empty() || header.queries.size() != 1 ||
      header.key_count != tokens) {
    return absl::InternalError("the server sent weights for another prompt than it predicted from");
  }
  answer.look = MakeLook(*maps);
  return absl::OkStatus();
}

RungAnswer AskOne(const Asking& asking, const Rung& rung, const std::string& prompt) {
  RungAnswer answer;
  answer.status = AskForAnswer(asking, rung, prompt, answer);
  if (!answer.status.ok()) return answer;
  answer.look_status = AskForLook(asking, rung, answer);
  if (asking.question.prompts.size() > 1) {
    answer.log_probabilities = AskForDistribution(asking, rung, answer.asked.text);
  }
  return answer;
}

Comparison Compare(const Asking& asking, const RungReport& report) {
  Comparison comparison;
  for (const RungAnswer& answer : report.answers) {
    comparison.status = answer.log_probabilities.status();
    if (!comparison.status.ok()) return comparison;
  }
  const auto id = CompareDistributions(*report.answers[0].log_probabilities,
                                       *report.answers[1].log_probabilities, comparison);
  if (!id.ok() || comparison.identical) {
    comparison.status = id.status();
    return comparison;
  }
  auto text = asking.client.Detokenize({.model = report.rung.model.identity.name, .ids = {*id}},
                                       asking.options);
  if (text.ok() && text->tokens.size() == 1) {
    comparison.token = std::move(text->tokens.front());
  } else {
    comparison.token = {.id = *id};  // shown by its number
  }
  return comparison;
}

void AskRung(const Asking& asking, RungReport& report) {
  const std::vector<std::string>& prompts = asking.question.prompts;
  report.answers.resize(prompts.size());
  std::vector<std::thread> threads;
  for (size_t i = 1; i < prompts.size(); ++i) {
    threads.emplace_back([&, i] { report.answers[i] = AskOne(asking, report.rung, prompts[i]); });
  }
  report.answers[0] = AskOne(asking, report.rung, prompts[0]);
  for (std::thread& thread : threads) thread.join();
  if (prompts.size() != 2 || !report.answers[0].status.ok() || !report.answers[1].status.ok()) {
    return;
  }
  report.comparison = Compare(asking, report);
}

}  // namespace

std::vector<RungReport> AskRungs(Client& client, const std::vector<Rung>& rungs,
                                 const LadderQuestion& question, const CallOptions& options) {
  const Asking asking{client, question, options, MaskTexts(rungs)};
  std::vector<RungReport> reports(rungs.size());
  std::vector<std::thread> threads;
  for (size_t i = 0; i < rungs.size(); ++i) {
    reports[i].rung = rungs[i];
    threads.emplace_back([&asking, &report = reports[i]] { AskRung(asking, report); });
  }
  for (std::thread& thread : threads) thread.join();
  return reports;
}

}  // namespace heed::cli
