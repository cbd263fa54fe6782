"""The same app in AWS: sources over S3 and SQS, handlers as Lambda functions, and an emulation of both.

`serverless` is what runs inside a function. It and what it imports load neither asyncio nor the journal: a cold start
pays only for what it uses.
"""
