// heed attention: what the model looked at.
#include <string>
#include <vector>

#include "client/cli/attention/attention_export.h"
#include "client/cli/attention/attention_form_files.h"
#include "client/cli/attention/attention_forms.h"
#include "client/cli/attention/attention_output.h"
#include "client/cli/pages/inspect_pages.h"
#include "client/cli/request/edits.h"
#include "client/cli/request/estimate.h"
#include "client/cli/verbs/verbs.h"

namespace heed::cli {
namespace {

// What was asked for, as the wire has it, and its edits as the command names them.
absl::StatusOr<v1::GetAttentionRequest> ReadRequest(const Arguments& arguments, Session& session,
                                                    std::vector<std::string>* edits) {
  auto source = RunSource::Read(arguments, session);
  if (!source.ok()) return source.status();
  v1::GetAttentionRequest request;
  if (absl::Status s = FillRun(arguments, *source, &request); !s.ok()) return s;
  v1::AttentionSelection& selection = *request.mutable_selection();
  if (absl::Status s = ReadAttentionForm(arguments, *source, &selection); !s.ok()) return s;
  *edits = EditNames(arguments, *source);
  if (absl::Status s = CheckFormFiles(arguments, selection); !s.ok()) return s;
  return request;
}

absl::Status RunAttention(const Arguments& arguments, Session& session) {
  if (absl::Status s = CheckAttentionFileOptions(arguments); !s.ok()) return s;
  std::vector<std::string> edits;
  const auto request = ReadRequest(arguments, session, &edits);
  if (!request.ok()) return request.status();
  if (arguments.Has("estimate")) return PrintEstimate(*request, session);
  if (!IsPlain(request->selection())) {
    const auto answer = FetchAttention(*request, session);
    if (!answer.ok()) return answer.status();
    const auto wrote = WriteFormFiles(*answer, request->selection(), edits, arguments, session);
    if (!wrote.ok()) return wrote.status();
    if (session.json() || !*wrote) PrintAttentionForm(*answer, request->selection(), session);
    return absl::OkStatus();
  }
  const auto maps = FetchAttentionMaps(*request, session);
  if (!maps.ok()) return maps.status();
  const auto wrote = WriteAttentionFiles(*maps, edits, arguments, session);
  if (!wrote.ok()) return wrote.status();
  if (session.json()) {
    WriteAttentionJson(*maps, session);
  } else if (maps->top_k > 0) {
    PrintTopKeys(*maps, session);
  } else if (!*wrote) {
    PrintAttention(*maps, session);
  }
  return absl::OkStatus();
}

std::vector<OptionSpec> AttentionOptions() {
  const std::vector<OptionSpec> options = {
      {"layer", "L", "Layers, for example 0,2 or -1 for the last; default all.",
       /*repeatable=*/true},
      {"head", "H", "Heads, in the same way; default all.", /*repeatable=*/true},
      {"query", "WORD", "The rows, by word or position; -1 is the last; default all.",
       /*repeatable=*/true}};
  return JoinOptions({options, AttentionFileOptions(), AttentionFormOptions(), EditOptions(),
                      EditScopeOptions(), RunOptions()});
}

}  // namespace

Verb AttentionVerb() {
  return {
      .name = "attention",
      .operands = "PROMPT",
      .max_operands = 1,
      .summary = "Show what the model looked at.",
      .description =
          "PROMPT is the text, or - for standard input. Of one head, the whole map is shown: rows "
          "are queries, columns keys, each row sums to 1. Of several, first what the last row of "
          "each head reads from, then the map of the head that says most. A weight says where a "
          "head read from, not what the answer depended on. A blank, ____, is the mask of a model "
          "that fills masks.",
      .example = "heed attention \"the keys to the cabinet\" --html=attention.html",
      .options = AttentionOptions(),
      .run = RunAttention};
}

}  // namespace heed::cli
