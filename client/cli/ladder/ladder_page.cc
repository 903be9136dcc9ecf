#include "client/cli/ladder/ladder_page.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/base/format.h"
#include "client/cli/base/json_parts.h"
#include "client/cli/base/report.h"
#include "client/cli/base/terminal.h"
#include "client/cli/base/token_text.h"
#include "client/cli/ladder/ladder_output.h"
#include "client/cli/pages/page.h"

namespace heed::cli {
namespace {

void WriteLook(JsonWriter& json, const Rung& rung, const Look& look) {
  json.Key("look").BeginObject();
  json.Key("title").String(LookTitle(rung, look));
  json.Key("reason").String(look.reason);
  json.Key("weights");
  WriteFloats(json, look.weights);
  if (!HasOneHead(rung)) {
    json.Key("mean_title").String(absl::StrCat("mean of layer ", rung.model.layer_count - 1));
    json.Key("mean_weights");
    WriteFloats(json, look.mean_weights);
  }
  json.EndObject();
}

void WriteAnswer(JsonWriter& json, const Rung& rung, const RungAnswer& answer,
                 const std::string& server) {
  json.BeginObject();
  json.Key("note").String(answer.asked.note);
  const absl::Status& error = answer.status.ok() ? answer.look_status : answer.status;
  if (!error.ok()) json.Key("error").String(ErrorSummary(error, server));
  if (answer.status.ok()) {
    json.Key("tokens");
    WriteTexts(json, VisibleTokens(answer.result.prompt.tokens));
    json.Key("dropped").String(FormatDropped(answer.result.prompt));
    json.Key("position").Int(answer.prediction().position);
    json.Key("entropy_nats").Number(answer.prediction().entropy);
    json.Key("candidates").BeginArray();
    for (const Candidate& candidate : answer.prediction().candidates) {
      json.BeginObject();
      json.Key("token").String(VisibleToken(candidate.token));
      json.Key("probability").Number(candidate.probability);
      json.Key("rank").Int(candidate.rank);
      json.EndObject();
    }
    json.EndArray();
    if (answer.look_status.ok()) WriteLook(json, rung, answer.look);
  }
  json.EndObject();
}

void WriteRung(JsonWriter& json, const RungReport& report, const std::string& server) {
  json.BeginObject();
  json.Key("title").String(RungTitle(report.rung));
  json.Key("meaning").String(report.rung.meaning);
  json.Key("model");
  WriteIdentity(json, report.rung.model.identity);
  json.Key("vocabulary").Int(report.rung.model.vocabulary_size);
  json.Key("answers").BeginArray();
  for (const RungAnswer& answer : report.answers) WriteAnswer(json, report.rung, answer, server);
  json.EndArray();
  if (const std::optional<Comparison>& comparison = report.comparison) {
    const bool ok = comparison->status.ok();
    json.Key("verdict").String(ok ? Verdict(*comparison)
                                  : ErrorSummary(comparison->status, server));
    json.Key("alike").Bool(ok && comparison->largest_difference <= kRoundingDifference);
  }
  json.EndObject();
}

}  // namespace

std::string LadderPage(const Ladder& ladder, const std::string& server) {
  Page page(PageSource{});
  JsonWriter& json = page.json();
  json.Key("prompts").BeginArray();
  for (const std::string& prompt : ladder.prompts) json.String(SafeText(prompt));
  json.EndArray().Key("rungs").BeginArray();
  for (const RungReport& report : ladder.rungs) WriteRung(json, report, server);
  json.EndArray().Key("lesson");
  WriteTexts(json, Lesson(ladder));
  json.Key("pieces");
  WriteTexts(json, PieceLines(ladder));
  json.Key("missing").String(MissingLine(ladder));
  const std::string prompts = SafeText(absl::StrJoin(ladder.prompts, " / "));
  return page.Finish(kLadderScript, PageTitle("ladder", {prompts}));
}

}  // namespace heed::cli
